"""Groups: recordings that must stay together in one split, as they share a session, a file, or a sound."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_SESSION = ["recordist", "date", "place"]


def sessions(recordings: "pd.Series[str]", grouping: pd.DataFrame) -> "pd.Series[str]":
    """Who recorded, on which day, at which place, as far as known; "" where less than two of them are.

    Args:
        recordings: ids.
        grouping: columns recording, recordist, date, place.

    Returns:
        one text a recording, indexed by recording.
    """
    known = known_of(recordings, grouping, _SESSION)
    text = known["recordist"] + "\n" + known["date"] + "\n" + known["place"]
    return text.where((known != "").sum(axis=1) >= 2, "")


def known_of(recordings: "pd.Series[str]", grouping: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Some grouping columns of recordings, in their order and indexed by them; "" where unknown."""
    return grouping.drop_duplicates("recording").set_index("recording")[columns].reindex(recordings).fillna("")


def group_keys(recordings: pd.DataFrame, grouping: pd.DataFrame, pairs: pd.DataFrame) -> "pd.Series[str]":
    """The group of each recording.

    Its session; where that is not known, its sound, so that another name moves nothing. Sessions that share a file
    or a sound become one group under the name of the larger one, so that a recording that joins it moves only itself.

    Args:
        recordings: columns recording, file_sha256, sound_sha256; those in use.
        grouping: columns recording, recordist, date, place.
        pairs: near-duplicates (`PAIRS`).

    Returns:
        group keys, indexed by recording.
    """
    names = recordings["recording"]
    session = sessions(names, grouping)
    sound = pd.Series(recordings["sound_sha256"].to_numpy(), session.index)
    key = session.where(session != "", "sound " + sound)
    codes, keys = pd.factorize(key)
    code = pd.Series(codes, session.index)
    both = pairs["recording"].isin(code.index) & pairs["other"].isin(code.index)
    edges = [np.stack([code[pairs.loc[both, c]].to_numpy() for c in ("recording", "other")])]
    files = pd.DataFrame({"file": recordings["file_sha256"].to_numpy(), "code": codes})
    files = files[(files["file"] != "") & files["file"].duplicated(keep=False)]
    edges.append(np.stack([files["code"].to_numpy(), files.groupby("file")["code"].transform("first").to_numpy()]))
    a, b = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(a)), (a, b)), (len(keys), len(keys)))
    _, component = connected_components(graph, directed=False)
    return pd.Series(
        _names(np.asarray(keys, object), np.bincount(codes, minlength=len(keys)), component)[codes], key.index
    )


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
