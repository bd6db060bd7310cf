"""Label sets of all windows and recordings of a corpus, which may hold focal, negative and annotated recordings."""

from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd

from autobird.dataset.boxes import label_recordings, label_windows, usable_boxes
from autobird.dataset.crop_limits import ANYWHERE, label_limits
from autobird.dataset.label_sets import ABSENT, UNKNOWN
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.reviewed import decisions_of, is_reviewed, label_reviewed_windows
from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.base import ANNOTATED, NEGATIVE
from autobird.sources.labels import label_key

_COLUMNS = ["present", "absent", "unknown", "default"]
"""A label set. The windows of a recording share one list object where they can, to save memory."""


def label_index(
    windows: pd.DataFrame, accepted: pd.DataFrame, tables: RecordingTables, settings: DatasetStageSettings
) -> pd.DataFrame:
    """Return the label columns of `INDEX` for the windows of accepted recordings.

    Args:
        windows: columns recording, start (samples).
        accepted: columns recording, species ("" if boxes label the recording, or nothing is in it), duration (seconds).
        tables: kinds of the recordings, uncertain species, and boxes.
        settings: how boxes label windows, and the length of a window.

    Returns:
        columns species, negative, chosen and sampling (`label_reviewed_windows`), `_COLUMNS` of the window and, with the prefix
        `recording_`, of the recording, earliest and latest (`label_limits`); with the index of `windows`.
    """
    recordings = accepted.set_index("recording")[["species", "duration"]].join(tables.labels.set_index("recording"))
    recordings["kind"] = recordings["kind"].fillna("")
    annotated = recordings["kind"] == ANNOTATED
    boxes = tables.boxes[tables.boxes["recording"].isin(recordings.index[annotated])]
    reviewed = is_reviewed(recordings)
    decisions = decisions_of(tables.boxes[tables.boxes["recording"].isin(recordings.index[reviewed])])
    names = set(recordings.loc[recordings["kind"] == "", "species"]) | set(boxes.loc[boxes["problem"] == "", "species"])
    names |= set(decisions.loc[decisions["is_present"], "species"])
    names.discard("")
    boxes = usable_boxes(boxes, recordings.loc[annotated, "duration"], names)

    of_recording = _of_recordings(recordings, boxes)
    of_window = of_recording.loc[windows["recording"]].set_index(windows.index)
    in_annotated = windows[windows["recording"].map(annotated)]
    in_annotated = in_annotated.assign(duration=in_annotated["recording"].map(recordings["duration"]))
    of_box = label_windows(in_annotated, boxes, settings)
    of_window.loc[of_box.index, of_box.columns] = of_box
    of_window["earliest"], of_window["latest"] = ANYWHERE
    limits = np.stack(label_limits(in_annotated, boxes, settings), axis=1)
    of_window.loc[of_box.index, ["earliest", "latest"]] = limits
    nothing: list[str] = []
    of_window["chosen"] = pd.Series([nothing] * len(of_window), of_window.index, dtype=object)
    of_window["sampling"] = float("nan")
    in_reviewed = windows[windows["recording"].map(reviewed)]
    of_decision = label_reviewed_windows(
        in_reviewed.assign(duration=in_reviewed["recording"].map(recordings["duration"])), decisions, settings
    )
    of_window.loc[of_decision.index, of_decision.columns] = of_decision
    # A decision is about one window: of a shifted one, nothing is known.
    of_window.loc[of_decision.index, ["earliest", "latest"]] = np.repeat(in_reviewed[["start"]].to_numpy(), 2, axis=1)

    uncertain = _uncertain(recordings, of_recording["present"], names)
    of_recording["unknown"] = _with_uncertain(of_recording["unknown"], of_recording.index, uncertain)
    of_window["unknown"] = _with_uncertain(of_window["unknown"], windows["recording"], uncertain)
    of_window["species"] = _only_species(of_window)
    of_window["negative"] = (of_window["default"] == ABSENT) & ~of_window[["present", "unknown"]].map(len).any(axis=1)
    repeated = of_recording.add_prefix("recording_").loc[windows["recording"]].set_index(windows.index)
    return of_window.join(repeated)


def _of_recordings(recordings: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """Return the label sets of recordings, without uncertain species: `_COLUMNS`, indexed by recording.

    Args:
        recordings: columns species, kind, indexed by recording.
        boxes: result of `usable_boxes`.
    """
    nothing: list[str] = []
    is_focal = (recordings["kind"] == "") & (recordings["species"] != "")
    lists = {species: [species] for species in recordings.loc[is_focal, "species"].unique()}
    sets = pd.DataFrame(index=recordings.index)
    sets["present"] = recordings["species"].where(is_focal, "").map(lambda species: lists.get(species, nothing))
    sets["absent"] = pd.Series([nothing] * len(sets), sets.index, dtype=object)
    sets["unknown"] = sets["absent"]
    # Of a recording that is not said to be negative, and has no species, nothing is known.
    sets["default"] = pd.Series(ABSENT, sets.index).mask(~is_focal & (recordings["kind"] != NEGATIVE), UNKNOWN)
    annotated = label_recordings(recordings.index[recordings["kind"] == ANNOTATED], boxes)
    sets.loc[annotated.index, annotated.columns] = annotated
    return sets


def _uncertain(
    recordings: pd.DataFrame, present: "pd.Series[list[str]]", names: Collection[str]
) -> dict[str, list[str]]:
    """Return the labels among the uncertain species of each recording that has some, without those that are present in it.

    Args:
        recordings: column uncertain (names in any spelling; NaN for none), indexed by recording.
        present: labels of the recordings, indexed by recording.
        names: all labels.
    """
    spelling = {label_key(name): name for name in names}
    found: dict[str, list[str]] = {}
    for recording, written in recordings["uncertain"].dropna().items():
        labels = {spelling[label_key(name)] for name in written if label_key(name) in spelling}
        if labels := labels.difference(present[recording]):
            found[str(recording)] = sorted(labels)
    return found


def _with_uncertain(
    unknown: "pd.Series[list[str]]", recordings: Iterable[str], uncertain: dict[str, list[str]]
) -> "pd.Series[list[str]]":
    """Return the lists of unknown species with the uncertain species of each row's recording."""
    lists = []
    for names, recording in zip(unknown, recordings, strict=True):
        more = uncertain.get(recording)
        lists.append(names if more is None else more if not names else sorted({*names, *more}))
    return pd.Series(lists, unknown.index, dtype=object)


def _only_species(sets: pd.DataFrame) -> list[str]:
    """Return the species of each label set if exactly one is present and nothing else may be, otherwise ""."""
    return [
        present[0] if len(present) == 1 and not unknown and default == ABSENT else ""
        for present, unknown, default in zip(sets["present"], sets["unknown"], sets["default"], strict=True)
    ]
