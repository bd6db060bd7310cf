"""Leakage: what test recordings share with training recordings, for this split and for a random one."""

from typing import Any

import numpy as np
import pandas as pd

from autobird.corpus.groups import known_of, sessions
from autobird.corpus.split import SPLITS

RANDOM_SPLITS = 20
"""How many random splits are drawn for comparison."""

SHARED = {
    "recordist": ["recordist"],
    "recordist_and_species": ["recordist", "species"],
    "recordist_and_day": ["recordist", "date"],
    "session": ["session"],
    "near_duplicate": ["cluster"],
}
"""What a test recording may share with a training recording, and the columns that tell."""


def leakage(table: pd.DataFrame, grouping: pd.DataFrame, clusters: "pd.Series[int]", seed: int) -> dict[str, Any]:
    """Shares of the test recordings that have something in common with a training recording.

    Args:
        table: columns recording, species, split; those in use.
        grouping: columns recording, recordist, date, place.
        clusters: of recordings that hold the same sound, by recording; others have none.
        seed: of the random splits, which have the same sizes and deal each recording alone.
    """
    names = table["recording"].reset_index(drop=True)
    known = known_of(names, grouping, ["recordist", "date"])
    facts = pd.DataFrame(
        {
            "species": table["species"].to_numpy(),
            "recordist": known["recordist"].to_numpy(),
            "date": known["date"].to_numpy(),
            "session": sessions(names, grouping).to_numpy(),
            "cluster": names.map(clusters).fillna("").astype(str).to_numpy(),
        }
    )
    split = table["split"].to_numpy()
    codes = {name: _codes(facts[columns]) for name, columns in SHARED.items()}
    rng = np.random.default_rng(seed)
    random = pd.DataFrame([_shares(codes, rng.permutation(split)) for _ in range(RANDOM_SPLITS)])
    test = split == "test"
    return {
        "test_recordings": int(test.sum()),
        "recordist_known": int((facts["recordist"][test] != "").sum()),
        "session_known": int((facts["session"][test] != "").sum()),
        "this_split": _shares(codes, split),
        "random_split": {
            name: {
                "mean": round(float(values.mean()), 4), "low": float(values.min()), "high": float(values.max()),
            }
            for name, values in random.items()
        },
    }  # fmt: skip


def _codes(columns: pd.DataFrame) -> np.ndarray:
    """A number for each combination of values; -1 where one of them is unknown."""
    codes = columns.groupby(list(columns), sort=False).ngroup().to_numpy()
    return np.where((columns == "").any(axis=1), -1, codes)


def _shares(codes: dict[str, np.ndarray], split: np.ndarray) -> dict[str, float]:
    test, train = split == SPLITS[2], split == SPLITS[0]
    found = {}
    for name, code in codes.items():
        shared = np.isin(code[test], code[train & (code >= 0)])
        found[name] = round(float(shared.mean()), 4) if test.any() else 0.0
    return found
