"""Groups of recordings that must stay in one split: they share a session, a file, or the same audio."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from autobird.dataset.days import normalise_day
from autobird.dataset.recorder_names import normalise_text
from autobird.dataset.recorders import grouping_of


def metadata_sessions(recordings: "pd.Series[str]", grouping: pd.DataFrame) -> pd.DataFrame:
    """Return the session of each recording according to the metadata: recordist, day and place.

    Args:
        recordings: ids.
        grouping: columns recording, recordist, date, place.

    Returns:
        indexed by recording, in the order of `recordings`: recordist and date, normalised for comparison (case, spaces
        and date format are ignored), "" if unknown; `session`, a number for the combination of recordist, date and
        place, -1 if fewer than two of them are known; `written`, the three values as the metadata give them, "" if
        `session` is -1. An incomplete date (2021-05-00) is unknown, but it separates sessions of one recordist at one
        place.
    """
    metadata = grouping_of(recordings, grouping).fillna("")
    sessions = pd.DataFrame(
        {
            "recordist": _map_unique(metadata["recordist"], normalise_text),
            "date": _map_unique(metadata["date"], normalise_day),
        }
    )
    place = integer_codes(metadata["place"].map(normalise_text))
    sufficient = (sessions != "").sum(axis=1).to_numpy() + (place >= 0) >= 2
    date = sessions["date"].where(sessions["date"] != "", metadata["date"])
    codes = combined_codes([integer_codes(sessions["recordist"]), integer_codes(date), place])
    sessions["session"] = np.where(sufficient, codes, -1)
    written = metadata["recordist"] + "\n" + metadata["date"] + "\n" + metadata["place"]
    sessions["written"] = written.where(sufficient, "")
    return sessions


def _map_unique(texts: "pd.Series[str]", function: Callable[[str], str]) -> "pd.Series[str]":
    """Apply `function` to each text; called once per distinct text."""
    return texts.map({text: function(text) for text in texts.unique()})


def integer_codes(texts: "pd.Series[str]") -> NDArray[np.int64]:
    """Return an integer for each distinct text, -1 for ""."""
    values = texts.to_numpy()
    not_empty = np.flatnonzero(values != "")
    codes = np.full(len(values), -1)
    codes[not_empty] = pd.factorize(values[not_empty])[0]
    return codes


def combined_codes(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return an integer for each distinct combination of codes; each code is at least -1."""
    combined = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        combined = pd.factorize(combined * (column.max(initial=-1) + 2) + column + 1)[0]
    return combined


def group_keys(
    recordings: pd.DataFrame, grouping: pd.DataFrame, pairs: pd.DataFrame, recorders: pd.DataFrame
) -> "pd.Series[str]":
    """Return the key of each recording's group.

    The key of a recording is its session in the metadata; if that is unknown, its recorder session; if that is
    unknown too, the checksum of its audio, which does not change if the file is renamed. Recordings that share a session
    of either kind, a file, or the same audio form one group (a connected component). The group has the key of its
    largest part, so that adding a recording to a group does not change the key of the others.

    Args:
        recordings: columns recording, file_sha256, sound_sha256; the recordings in use.
        grouping: columns recording, recordist, date, place.
        pairs: near-duplicates (`PAIRS`).
        recorders: result of `recorder_sessions`, for at least these recordings.

    Returns:
        group keys, indexed by recording.
    """
    recorders = recorders.loc[recordings["recording"]]
    sessions = metadata_sessions(recordings["recording"], grouping)
    session = sessions["written"].to_numpy()
    recorder_session = recorders["session"].to_numpy()
    audio = "sound " + recordings["sound_sha256"].to_numpy()
    key_of_each = np.where(session != "", session, np.where(recorder_session != "", recorder_session, audio))
    codes, keys = pd.factorize(key_of_each)
    code_of = pd.Series(codes, sessions.index)
    in_use = pairs["recording"].isin(code_of.index) & pairs["other"].isin(code_of.index)
    edges = [np.stack([code_of[pairs.loc[in_use, column]].to_numpy() for column in ("recording", "other")])]
    shared_values = [
        sessions["session"].to_numpy(),
        integer_codes(recorders["session"]),
        integer_codes(recorders["shared"]),
        integer_codes(recordings["file_sha256"]),
    ]
    edges += [_edges_of_equal_values(codes, values) for values in shared_values]
    components = _components(np.concatenate(edges, axis=1), len(keys))
    sizes = np.bincount(codes, minlength=len(keys))
    return pd.Series(_component_keys(np.asarray(keys, object), sizes, components)[codes], code_of.index)


def _components(edges: NDArray[np.intp], nodes: int) -> NDArray[np.int32]:
    """Return the connected component of each node; `edges` has shape (2, edges)."""
    graph = coo_array((np.ones(edges.shape[1]), (edges[0], edges[1])), (nodes, nodes))
    return connected_components(graph, directed=False)[1]


def _edges_of_equal_values(codes: NDArray[np.intp], values: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return edges that connect the codes of all rows with the same value, except -1; shape (2, edges)."""
    codes = codes[values >= 0]
    _, first, inverse = np.unique(values[values >= 0], return_index=True, return_inverse=True)
    edges = np.stack([codes, codes[first][inverse]])
    return edges[:, edges[0] != edges[1]]


def _component_keys(keys: NDArray[Any], sizes: NDArray[np.intp], components: NDArray[np.int32]) -> NDArray[Any]:
    """Return the key of each key's component: the one with the most recordings, of equal ones that with the lowest hash."""
    component_keys = keys.copy()
    joined = np.flatnonzero(np.bincount(components)[components] > 1)
    for _, members in pd.Series(joined).groupby(components[joined]):
        largest = min(members, key=lambda k: (-sizes[k], hashlib.sha256(str(keys[k]).encode()).digest()))
        component_keys[members] = keys[largest]
    return component_keys


def near_duplicate_clusters(pairs: pd.DataFrame) -> "pd.Series[int]":
    """Return the cluster of each recording in `pairs`: recordings of the same audio, connected directly or by others."""
    names, rows = np.unique(pairs[["recording", "other"]].to_numpy(str), return_inverse=True)
    return pd.Series(_components(rows.reshape(-1, 2).T, len(names)), names)
