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

Codes = NDArray[np.int64]
"""Values of a property as integers, of shape (recordings, values), with -1 for none. Recordings share the property if they have a
value in common."""


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
        recordings: columns recording, species (list), split; the recordings with a species.
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
    recordist = integer_codes(sessions["recordist"])
    day = integer_codes(sessions["date"].where(sessions["date"] != "", recorder_sessions["day"]))
    species = _list_codes(recordings["species"])
    recorder_session = integer_codes(recorder_sessions["session"])
    # Sessions of both kinds in one property need different numbers.
    session = sessions["session"].to_numpy()
    recorder_session = np.where(recorder_session < 0, -1, recorder_session + session.max(initial=-1) + 1)
    return {
        "recordist": recordist[:, None],
        "recordist_and_species": _pair_codes(np.broadcast_to(recordist[:, None], species.shape), species),
        "recordist_and_day": _pair_codes(recordist, day)[:, None],
        "session": np.stack([session, recorder_session], axis=1),
        "near_duplicate": _audio_codes(names, clusters)[:, None],
    }


def _list_codes(lists: "pd.Series[list[str]]") -> NDArray[np.int64]:
    """Return an integer for each distinct text of some lists, with -1 after the end of a list; shape (lists, longest list)."""
    lengths = lists.map(len).to_numpy(np.int64)
    codes = np.full((len(lists), lengths.max(initial=0)), -1, np.int64)
    codes[np.arange(codes.shape[1]) < lengths[:, None]] = pd.factorize(lists[lengths > 0].explode())[0]
    return codes


def _pair_codes(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an integer for each distinct pair of codes, -1 if one of the two is -1; all arrays have the same shape."""
    codes = combined_codes([first.ravel(), second.ravel()]).reshape(first.shape)
    return np.where((first < 0) | (second < 0), -1, codes)


def _audio_codes(names: "pd.Series[str]", clusters: "pd.Series[int] | None") -> NDArray[np.int64]:
    """Return the cluster of each recording, a number of its own without a cluster; -1 if clusters are unknown."""
    if clusters is None:
        return np.full(len(names), -1)
    cluster = names.map(clusters).to_numpy(float)
    return np.where(np.isnan(cluster), len(clusters) + np.arange(len(names)), cluster).astype(np.int64)


def _is_known(codes: Codes) -> NDArray[np.bool_]:
    return np.asarray((codes >= 0).any(axis=1))


def _shares(properties: dict[str, Codes], split: NDArray[Any]) -> dict[str, float | None]:
    """Return the share of test recordings that share each property with a training recording; None if unknown."""
    is_test, is_train = split == "test", split == "train"
    shares: dict[str, float | None] = {}
    for name, codes in properties.items():
        known = _is_known(codes)
        of_training = codes[is_train]
        shared = np.asarray(np.isin(codes, of_training[of_training >= 0]).any(axis=1))
        measurable = known[is_train].any() and known[is_test].any()
        shares[name] = round(float(shared[is_test & known].mean()), 4) if measurable else None
    return shares


def _mean_and_range(shares: Sequence[float | None]) -> dict[str, float] | None:
    """Return mean and range of the shares that are not None; None if all are."""
    known = [share for share in shares if share is not None]
    if not known:
        return None
    return {"mean": round(sum(known) / len(known), 4), "low": min(known), "high": max(known)}
