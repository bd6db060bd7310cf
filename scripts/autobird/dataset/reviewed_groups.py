"""Groups of recordings some of which are reviewed: reviews change no group of the others."""

from collections.abc import Set

import pandas as pd

from autobird.dataset.groups import group_keys
from autobird.dataset.recorders import NO_SESSIONS, recorder_sessions
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.settings import DatasetStageSettings


def sessions_of_recorders(
    accepted: pd.DataFrame, tables: RecordingTables, settings: DatasetStageSettings
) -> pd.DataFrame:
    """Return the recorder sessions of accepted recordings; without any session if `recorder_sessions` is false."""
    sessions = recorder_sessions(accepted, tables.grouping, settings.negative_names)
    return sessions if settings.recorder_sessions else sessions.assign(**NO_SESSIONS)


def groups_with_reviewed(
    accepted: pd.DataFrame, tables: RecordingTables, reviewed: Set[str], settings: DatasetStageSettings
) -> tuple["pd.Series[str]", dict[str, list[str]]]:
    """Return the group of each recording.

    The groups of recordings that are not reviewed are those without the reviewed ones. A reviewed recording that shares a session, a
    file, or the same audio with some of them is in their group; it can connect several, of which it is in the first.

    Args:
        accepted: the recordings in use; columns `recorders.COLUMNS`, file_sha256, sound_sha256.
        tables: metadata and near-duplicates.
        reviewed: ids of the reviewed recordings.
        settings: of the stage.

    Returns:
        group keys, indexed by recording; and for each reviewed recording that shares something with others the groups of these.
    """
    keys = _groups(accepted, tables, settings)
    is_reviewed = keys.index.isin(reviewed)
    if not is_reviewed.any():
        return keys, {}
    alone = _groups(accepted[~accepted["recording"].isin(reviewed)], tables, settings)
    others: dict[str, list[str]] = {
        str(key): sorted(groups.unique()) for key, groups in alone.groupby(keys[alone.index].to_numpy())
    }
    joined = {str(name): others[key] for name, key in keys[is_reviewed].items() if key in others}
    keys.update(alone)
    keys.update(pd.Series({name: groups[0] for name, groups in joined.items()}, dtype=object))
    return keys, joined


def _groups(accepted: pd.DataFrame, tables: RecordingTables, settings: DatasetStageSettings) -> "pd.Series[str]":
    return group_keys(accepted, tables.grouping, tables.pairs, sessions_of_recorders(accepted, tables, settings))
