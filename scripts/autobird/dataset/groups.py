"""Groups: recordings that must stay together in one split, as they share a session, a file, or a sound."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from autobird.dataset.days import day_of
from autobird.dataset.recorders import plain

_SESSION = ["recordist", "date", "place"]


def sessions(recordings: "pd.Series[str]", grouping: pd.DataFrame) -> pd.DataFrame:
    """Who recorded, on which day, at which place, as far as the metadata tell.

    Args:
        recordings: ids.
        grouping: columns recording, recordist, date, place.

    Returns:
        indexed by recording: recordist and date for comparison (upper and lower case, spaces and the way of writing a
        day do not count), "" where unknown; `session`, a number for all three together, -1 where less than two of them
        are known; `written`, the session as the metadata write it, or "". A date without a day (2021-05-00) is
        unknown, but tells sessions of one recordist at one place apart.
    """
    known = known_of(recordings, grouping, _SESSION)
    found = pd.DataFrame({"recordist": _compared(known["recordist"], plain), "date": _compared(known["date"], day_of)})
    place = numbers(known["place"].map(plain))
    enough = (found != "").sum(axis=1).to_numpy() + (place >= 0) >= 2
    date = found["date"].where(found["date"] != "", known["date"])
    found["session"] = np.where(enough, together([numbers(found["recordist"]), numbers(date), place]), -1)
    found["written"] = (known["recordist"] + "\n" + known["date"] + "\n" + known["place"]).where(enough, "")
    return found


def _compared(texts: "pd.Series[str]", form: Callable[[str], str]) -> "pd.Series[str]":
    return texts.map({text: form(text) for text in texts.unique()})


def numbers(texts: "pd.Series[str]") -> NDArray[np.int64]:
    """A number for each text; -1 for ""."""
    values = texts.to_numpy()
    known = np.flatnonzero(values != "")
    found = np.full(len(values), -1)
    found[known] = pd.factorize(values[known])[0]
    return found


def together(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """A number for each combination of numbers, of which each is at least -1."""
    found = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        found = pd.factorize(found * (column.max(initial=-1) + 2) + column + 1)[0]
    return found


def known_of(recordings: "pd.Series[str]", grouping: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Some grouping columns of recordings, in their order and indexed by them; "" where unknown."""
    return grouping.drop_duplicates("recording").set_index("recording")[columns].reindex(recordings).fillna("")


def group_keys(
    recordings: pd.DataFrame, grouping: pd.DataFrame, pairs: pd.DataFrame, recorders: pd.DataFrame
) -> "pd.Series[str]":
    """The group of each recording.

    Its session by the metadata; where that is not known, its recorder's night; where that is not known either, its sound, so
    that another name moves nothing. Recordings that share a session of either kind, a file or a sound become one group
    under the name of the largest of these, so that a recording that joins it moves only itself.

    Args:
        recordings: columns recording, file_sha256, sound_sha256; those in use.
        grouping: columns recording, recordist, date, place.
        pairs: near-duplicates (`PAIRS`).
        recorders: what `recorder_sessions` returns for them.

    Returns:
        group keys, indexed by recording.
    """
    by_table = sessions(recordings["recording"], grouping)
    night = recorders["session"].to_numpy()
    key = by_table["written"].to_numpy()
    key = np.where(key != "", key, np.where(night != "", night, "sound " + recordings["sound_sha256"].to_numpy()))
    codes, keys = pd.factorize(key)
    code = pd.Series(codes, by_table.index)
    both = pairs["recording"].isin(code.index) & pairs["other"].isin(code.index)
    edges = [np.stack([code[pairs.loc[both, c]].to_numpy() for c in ("recording", "other")])]
    shared = (recorders["session"], recorders["shared"], recordings["file_sha256"])
    edges += [_edges(codes, values) for values in (by_table["session"].to_numpy(), *map(numbers, shared))]
    a, b = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(a)), (a, b)), (len(keys), len(keys)))
    _, component = connected_components(graph, directed=False)
    return pd.Series(
        _names(np.asarray(keys, object), np.bincount(codes, minlength=len(keys)), component)[codes], code.index
    )


def _edges(codes: NDArray[np.intp], values: NDArray[np.int64]) -> NDArray[np.intp]:
    """Pairs of the codes of rows that have the same value, which is not -1."""
    codes = codes[values >= 0]
    _, first, inverse = np.unique(values[values >= 0], return_index=True, return_inverse=True)
    pairs = np.stack([codes, codes[first][inverse]])
    return pairs[:, pairs[0] != pairs[1]]


def _names(keys: NDArray[Any], sizes: NDArray[np.intp], component: NDArray[np.int32]) -> NDArray[Any]:
    """Each key's name for its component: its largest key, of equal ones that with the lowest hash."""
    named = keys.copy()
    several = np.flatnonzero(np.bincount(component)[component] > 1)
    for _, members in pd.Series(several).groupby(component[several]):
        best = min(members, key=lambda k: (-sizes[k], hashlib.sha256(str(keys[k]).encode()).digest()))
        named[members] = keys[best]
    return named


def clusters(pairs: pd.DataFrame) -> "pd.Series[int]":
    """The cluster of each recording that a pair names: those that hold the same sound, directly or by others."""
    names, index = np.unique(pairs[["recording", "other"]].to_numpy(str), return_inverse=True)
    index = index.reshape(-1, 2)
    graph = coo_array((np.ones(len(index)), (index[:, 0], index[:, 1])), (len(names), len(names)))
    return pd.Series(connected_components(graph, directed=False)[1], names)
