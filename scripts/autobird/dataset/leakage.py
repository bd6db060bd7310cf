"""Data leakage: how many test recordings share properties with training recordings, in this split and in random splits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.dataset.groups import combined_codes, integer_codes, metadata_sessions

RANDOM_SPLITS = 20
"""Number of random splits for comparison."""

SHARED = ("recordist", "recordist_and_species", "recordist_and_day", "session", "near_duplicate")
"""Properties that a test recording can share with a training recording; keys of `leakage.json`."""

Codes = list[NDArray[np.int64]]
"""Values of a property as integers, -1 if unknown; each of shape (recordings,). Recordings share the property if they
have the same value in at least one of the arrays."""


def measure_leakage(
    recordings: pd.DataFrame,
    grouping: pd.DataFrame,
    recorders: pd.DataFrame,
    clusters: "pd.Series[int] | None",
    seed: int,
) -> dict[str, Any]:
    """Return the content of `leakage.json`: shares of test recordings that share a property with a training recording.

    The denominator of a share is the number of test recordings with a known value of the property (`known`). A share
    is None if no test recording or no training recording has a known value.

    Args:
        recordings: columns recording, species, split; the recordings in use.
        grouping: columns recording, recordist, date, place.
        recorders: result of `recorder_sessions`, for at least these recordings.
        clusters: result of `near_duplicate_clusters`; None if near-duplicates were not searched.
        seed: seed of the random splits. They have the same sizes, and assign each recording on its own.
    """
    properties = _properties(recordings, grouping, recorders, clusters)
    split = recordings["split"].to_numpy()
    is_test = split == "test"
    rng = np.random.default_rng(seed)
    random_shares = [_shares(properties, rng.permutation(split)) for _ in range(RANDOM_SPLITS)]
    return {
        "test_recordings": int(is_test.sum()),
        "known": {name: int(_is_known(codes)[is_test].sum()) for name, codes in properties.items()},
        "this_split": _shares(properties, split),
        "random_split": {name: _mean_and_range([shares[name] for shares in random_shares]) for name in SHARED},
    }


def _properties(
    recordings: pd.DataFrame, grouping: pd.DataFrame, recorders: pd.DataFrame, clusters: "pd.Series[int] | None"
) -> dict[str, Codes]:
    """Return the values of each property in `SHARED`, in the order of `recordings`."""
    names = recordings["recording"].reset_index(drop=True)
    sessions, recorder_sessions = metadata_sessions(names, grouping), recorders.loc[names]
    recordist, species = integer_codes(sessions["recordist"]), integer_codes(recordings["species"])
    day = integer_codes(sessions["date"].where(sessions["date"] != "", recorder_sessions["day"]))
    return {
        "recordist": [recordist],
        "recordist_and_species": [_pair_codes(recordist, species)],
        "recordist_and_day": [_pair_codes(recordist, day)],
        "session": [sessions["session"].to_numpy(), integer_codes(recorder_sessions["session"])],
        "near_duplicate": [_audio_codes(names, clusters)],
    }


def _pair_codes(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an integer for each distinct pair of codes, -1 if one of the two is -1."""
    return np.where((first < 0) | (second < 0), -1, combined_codes([first, second]))


def _audio_codes(names: "pd.Series[str]", clusters: "pd.Series[int] | None") -> NDArray[np.int64]:
    """Return the cluster of each recording, a number of its own without a cluster; -1 if clusters are unknown."""
    if clusters is None:
        return np.full(len(names), -1)
    cluster = names.map(clusters).to_numpy(float)
    return np.where(np.isnan(cluster), len(clusters) + np.arange(len(names)), cluster).astype(np.int64)


def _is_known(codes: Codes) -> NDArray[np.bool_]:
    return np.any([values >= 0 for values in codes], axis=0)


def _shares(properties: dict[str, Codes], split: NDArray[Any]) -> dict[str, float | None]:
    """Return the share of test recordings that share each property with a training recording; None if unknown."""
    is_test, is_train = split == "test", split == "train"
    shares: dict[str, float | None] = {}
    for name, codes in properties.items():
        known = _is_known(codes)
        shared = np.any([np.isin(values, values[is_train & (values >= 0)]) for values in codes], axis=0)
        measurable = known[is_train].any() and known[is_test].any()
        shares[name] = round(float(shared[is_test & known].mean()), 4) if measurable else None
    return shares


def _mean_and_range(shares: Sequence[float | None]) -> dict[str, float] | None:
    """Return mean and range of the shares that are not None; None if all are."""
    known = [share for share in shares if share is not None]
    if not known:
        return None
    return {"mean": round(sum(known) / len(known), 4), "low": min(known), "high": max(known)}
