"""Leakage: what test recordings share with training recordings, for this split and for a random one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.dataset.groups import numbers, sessions, together
from autobird.dataset.split import SPLITS

RANDOM_SPLITS = 20
"""How many random splits are drawn for comparison."""

SHARED = ("recordist", "recordist_and_species", "recordist_and_day", "session", "near_duplicate")
"""What a test recording may share with a training recording."""


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
    recordist, species = numbers(said["recordist"]), numbers(table["species"])
    day = numbers(said["date"].where(said["date"] != "", nights["day"]))
    split = table["split"].to_numpy()
    test = split == SPLITS[2]
    # What tells it, as numbers, -1 where unknown; a session is told in either of two ways.
    codes = {
        "recordist": [recordist],
        "recordist_and_species": [_both(recordist, species)],
        "recordist_and_day": [_both(recordist, day)],
        "session": [said["session"].to_numpy(), numbers(nights["session"])],
        "near_duplicate": [_sounds(names, clusters)],
    }
    rng = np.random.default_rng(seed)
    random = [_shares(codes, rng.permutation(split)) for _ in range(RANDOM_SPLITS)]
    return {
        "test_recordings": int(test.sum()),
        "known": {name: int(_known(of)[test].sum()) for name, of in codes.items()},
        "this_split": _shares(codes, split),
        "random_split": {name: _range([shares[name] for shares in random]) for name in SHARED},
    }


def _both(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each pair of numbers; -1 where one of them is -1."""
    return np.where((one < 0) | (other < 0), -1, together([one, other]))


def _sounds(names: "pd.Series[str]", clusters: "pd.Series[int] | None") -> NDArray[np.int64]:
    """A number for each sound, one of its own for that of a recording without a cluster; -1 if nobody searched."""
    if clusters is None:
        return np.full(len(names), -1)
    found = names.map(clusters).to_numpy(float)
    return np.where(np.isnan(found), len(clusters) + np.arange(len(names)), found).astype(np.int64)


def _known(codes: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    return np.any([code >= 0 for code in codes], axis=0)


def _shares(codes: dict[str, list[NDArray[np.int64]]], split: NDArray[Any]) -> dict[str, float | None]:
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
