"""Leakage: what test recordings share with training recordings, for this split and for a random one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.corpus.groups import sessions
from autobird.corpus.split import SPLITS

RANDOM_SPLITS = 20
"""How many random splits are drawn for comparison."""

SHARED = {
    "recordist": [["recordist"]],
    "recordist_and_species": [["recordist", "species"]],
    "recordist_and_day": [["recordist", "day"]],
    "session": [["session"], ["night"]],
    "near_duplicate": [],
}
"""What a test recording may share with a training recording, and the columns that tell: one set of them, either of two, or none: the sound
itself tells."""


def leakage(
    table: pd.DataFrame,
    grouping: pd.DataFrame,
    recorders: pd.DataFrame,
    clusters: "pd.Series[int] | None",
    seed: int,
) -> dict[str, Any]:
    """Shares of the test recordings that have something in common with a training recording.

    A share is that of the test recordings of which the fact is known; how many these are stands beside it. It is
    unknown (None) where the fact is known of no test recording or of no training recording.

    Args:
        table: columns recording, species, split; those in use.
        grouping: columns recording, recordist, date, place.
        recorders: what `recorder_sessions` returns, at least for those in use.
        clusters: of recordings that hold the same sound, by recording, others have none; None if nobody searched.
        seed: of the random splits, which have the same sizes and deal each recording alone.
    """
    names = table["recording"].reset_index(drop=True)
    said, nights = sessions(names, grouping), recorders.loc[names]
    facts = pd.DataFrame(
        {
            "species": table["species"].to_numpy(),
            "recordist": said["recordist"].to_numpy(),
            "day": np.where(said["date"] != "", said["date"], nights["day"]),
            "session": said["session"].to_numpy(),
            "night": nights["session"].to_numpy(),
        }
    )
    split = table["split"].to_numpy()
    test = split == SPLITS[2]
    codes = {name: [_codes(facts[columns]) for columns in sets] for name, sets in SHARED.items()}
    codes["near_duplicate"] = [_sounds(names, clusters)]
    rng = np.random.default_rng(seed)
    random = [_shares(codes, rng.permutation(split)) for _ in range(RANDOM_SPLITS)]
    return {
        "test_recordings": int(test.sum()),
        "known": {name: int(_known(of)[test].sum()) for name, of in codes.items()},
        "this_split": _shares(codes, split),
        "random_split": {name: _range([shares[name] for shares in random]) for name in SHARED},
    }


def _codes(columns: pd.DataFrame) -> NDArray[np.intp]:
    """A number for each combination of values; -1 where one of them is unknown."""
    codes = columns.groupby(list(columns), sort=False).ngroup().to_numpy()
    return np.where((columns == "").any(axis=1), -1, codes)


def _sounds(names: "pd.Series[str]", clusters: "pd.Series[int] | None") -> NDArray[np.intp]:
    """A number for each sound, one of its own for that of a recording without a cluster; -1 if nobody searched."""
    if clusters is None:
        return np.full(len(names), -1)
    found = names.map(clusters).to_numpy(float)
    return np.where(np.isnan(found), len(clusters) + np.arange(len(names)), found).astype(np.intp)


def _known(codes: Sequence[NDArray[np.intp]]) -> NDArray[np.bool_]:
    return np.any([code >= 0 for code in codes], axis=0)


def _shares(codes: dict[str, list[NDArray[np.intp]]], split: NDArray[Any]) -> dict[str, float | None]:
    test, train = split == SPLITS[2], split == SPLITS[0]
    found: dict[str, float | None] = {}
    for name, either in codes.items():
        known = _known(either)
        shared = np.any([np.isin(code, code[train & (code >= 0)]) for code in either], axis=0)
        said = known[train].any() and known[test].any()
        found[name] = round(float(shared[test & known].mean()), 4) if said else None
    return found


def _range(shares: Sequence[float | None]) -> dict[str, float] | None:
    """Mean and range over the random splits in which the share is known; None if there is none."""
    known = [share for share in shares if share is not None]
    if not known:
        return None
    return {"mean": round(sum(known) / len(known), 4), "low": min(known), "high": max(known)}
