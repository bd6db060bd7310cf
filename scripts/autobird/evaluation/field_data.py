"""The predictions of the bundle for field recordings, and the boxes or labels of these recordings, as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from autobird.sources.base import DUPLICATE, NEGATIVE_LABEL, NO_LABEL, NO_NAME
from autobird.sources.labels import label_key

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

WINDOWS = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("quiet", pa.bool_()),
        ("probabilities", pa.list_(pa.float32())),
        ("detected", pa.list_(pa.bool_())),
    ]
)
"""One row per window, sorted by start within a recording. `probabilities` and `detected` have one value per label, in their order."""

DETECTIONS = ["recording", "start", "end", "species", "probability"]
"""Columns of the detections that a user of the bundle gets: one row per species and run of consecutive windows."""

ANSWERS = ["recording", "duration", "reason", "note"]
"""Columns of the table of recordings: length in seconds, why the recording was not predicted ("" if it was), and notes."""

BOXES = ["recording", "start", "end", "species", "problem"]
"""Columns of a table of boxes, as the listing of a corpus writes it: start and end in seconds; `problem` says why a box is not used."""

_UNNAMED = (NO_LABEL, NO_NAME)
"""Problems of boxes that mark a sound without naming its species."""


@dataclass(frozen=True)
class FieldPredictions:
    """What the bundle answered for the recordings that are evaluated.

    Attributes:
        labels: species in the order of the probabilities.
        names: recordings, sorted.
        duration: length of each recording, seconds; shape (recordings,).
        recording: recording of each window, as an index; increasing; shape (windows,).
        start: start of each window, seconds; increasing within a recording.
        end: end of each window, seconds.
        quiet: windows that are quiet, in which nothing is detected.
        probabilities: calibrated probabilities; 0 in quiet windows, because nothing can be detected there; shape (windows, species).
        detected: species whose probability reaches their threshold; shape (windows, species).
        detections: the delivered detections: recording and species as indices, start, end, probability.
    """

    labels: tuple[str, ...]
    names: list[str]
    duration: Floats
    recording: NDArray[np.int64]
    start: Floats
    end: Floats
    quiet: Flags
    probabilities: NDArray[np.float32]
    detected: Flags
    detections: pd.DataFrame

    @property
    def hours(self) -> Floats:
        """Hours that each window stands for: to the start of the next window, or to the end of the recording; shape (windows,)."""
        last = np.append(np.diff(self.recording) != 0, True)[: len(self.recording)]
        following = np.append(self.start[1:], 0.0)[: len(self.start)]
        return (np.where(last, self.duration[self.recording], following) - self.start) / 3600

    def windows_of(self) -> list[slice]:
        """Return the windows of each recording, in the order of `names`."""
        bounds = np.searchsorted(self.recording, np.arange(len(self.names) + 1))
        return [slice(first, end) for first, end in pairwise(bounds)]


def read_predictions(
    windows: Sequence[Path], detections: Sequence[Path], durations: "pd.Series[float]", labels: Sequence[str]
) -> FieldPredictions:
    """Read the predictions of all batches for some recordings.

    Args:
        windows: tables `WINDOWS` of the batches.
        detections: tables `DETECTIONS` of the batches.
        durations: length of each recording to read, seconds, indexed by recording.
        labels: species of the bundle.
    """
    names = sorted(durations.index)
    parts = [pq.read_table(path) for path in windows]
    table = pa.concat_tables(parts) if parts else WINDOWS.empty_table()
    code_of = {name: code for code, name in enumerate(names)}
    recording = np.array([code_of.get(name, -1) for name in table["recording"].to_pylist()], np.int64)
    rows = np.flatnonzero(recording >= 0)
    rows = rows[np.argsort(recording[rows], kind="stable")]
    quiet = _array(table["quiet"])[rows]
    probabilities = _matrix(table["probabilities"], len(labels), np.float32)[rows]
    tables = [pd.read_csv(path, keep_default_na=False) for path in detections]
    # pandas warns if it infers the types of a table without rows.
    found = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    found = found[found["recording"].isin(code_of)]
    column_of = {name: column for column, name in enumerate(labels)}
    found = found.assign(recording=found["recording"].map(code_of), species=found["species"].map(column_of))
    found = found.astype(
        {"recording": np.int64, "species": np.int64, "start": float, "end": float, "probability": float}
    )
    return FieldPredictions(
        labels=tuple(labels),
        names=names,
        duration=durations.loc[names].to_numpy(float),
        recording=recording[rows],
        start=_array(table["start"])[rows],
        end=_array(table["end"])[rows],
        quiet=quiet,
        probabilities=np.where(quiet[:, None], np.float32(0), probabilities),
        detected=_matrix(table["detected"], len(labels), np.bool_)[rows],
        detections=found.sort_values(["recording", "start", "species"], ignore_index=True),
    )


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.asarray(column.to_numpy())


def _matrix(column: pa.ChunkedArray, width: int, kind: type[np.generic]) -> NDArray[Any]:
    """Return a column of lists of the same length as an array; shape (rows, width)."""
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, kind).reshape(-1, width)


@dataclass(frozen=True)
class FieldTruth:
    """Boxes of the evaluated recordings.

    Attributes:
        boxes: one row per box that is used: recording (an index), start, end (seconds), species (an index; -1 for a species that
            the model does not know, -2 for a box that names no species), name; sorted.
        unused: number of boxes by the reason why they are not used, or were changed.
        possible: species that may be anywhere in a recording: those in the background of a labelled recording, and those of boxes
            whose time is not known; shape (recordings, species).
        by_recording: labels are those of whole recordings. Each box is a whole recording, and says nothing about single events.
    """

    boxes: pd.DataFrame
    unused: dict[str, int]
    possible: Flags
    by_recording: bool = False

    @property
    def unknown_species(self) -> dict[str, int]:
        """Number of boxes of each species that the model does not know, the most frequent first."""
        counts = self.boxes.loc[self.boxes["species"] == UNKNOWN, "name"].value_counts()
        return {str(name): int(count) for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}

    @property
    def shared_species(self) -> list[int]:
        """The model's species that have a box, as indices."""
        return sorted(int(s) for s in self.boxes["species"].unique() if s >= 0)


UNKNOWN, UNNAMED = -1, -2
"""Values of `FieldTruth.boxes.species` for species that the model does not know, and for boxes that name no species."""


def read_boxes(table: pd.DataFrame, predictions: FieldPredictions) -> FieldTruth:
    """Return the boxes of the evaluated recordings; times beyond the end of a recording are cut off.

    The species of a box whose time is not known may be anywhere in its recording, as in the data set (`dataset.boxes`).

    Args:
        table: columns `BOXES`.
        predictions: for names and lengths of the recordings, and the species of the model.
    """
    code_of = {name: code for code, name in enumerate(predictions.names)}
    rows = table[table["recording"].isin(code_of)]
    placed = rows["problem"].isin(["", *_UNNAMED])
    unused = {str(reason): int(count) for reason, count in sorted(rows.loc[~placed, "problem"].value_counts().items())}
    label_of = {label_key(name): column for column, name in enumerate(predictions.labels)}
    possible = np.zeros((len(predictions.names), len(predictions.labels)), bool)
    for box in rows[~placed & ~rows["problem"].isin([DUPLICATE, NEGATIVE_LABEL])].itertuples():
        key = label_key(box.species)
        if key in label_of:
            possible[code_of[box.recording], label_of[key]] = True
        elif not key:
            possible[code_of[box.recording]] = True
    rows = rows[placed]
    named = [label_of.get(label_key(name), UNKNOWN) for name in rows["species"]]
    boxes = pd.DataFrame(
        {
            "recording": rows["recording"].map(code_of).astype(np.int64),
            "start": rows["start"].astype(float).clip(lower=0),
            "end": rows["end"].astype(float),
            "species": np.where(rows["problem"] == "", np.array(named, np.int64).reshape(-1), UNNAMED),
            "name": rows["species"].astype(str),
        }
    )
    duration = predictions.duration[boxes["recording"].to_numpy()]
    outside, beyond = boxes["start"] >= duration, boxes["end"] > duration
    if outside.any():
        unused["begins after the end of its recording"] = int(outside.sum())
    if (beyond & ~outside).any():
        unused["ends after the end of its recording, and was cut there"] = int((beyond & ~outside).sum())
    boxes["end"] = np.minimum(boxes["end"], duration)
    boxes = boxes[~outside].sort_values(["recording", "start", "end", "species", "name"], ignore_index=True)
    return FieldTruth(boxes, unused, possible)


def boxes_of_labels(
    species: "pd.Series[str]", predictions: FieldPredictions, background: Mapping[str, Sequence[str]] | None = None
) -> FieldTruth:
    """Return one box per labelled recording, which is as long as the recording.

    Args:
        species: label of each recording, indexed by recording; "" for recordings without any of the model's species.
        predictions: see `read_boxes`.
        background: species that may be heard in the background, by recording.
    """
    labels = species.reindex(predictions.names).fillna("").to_numpy(str)
    table = pd.DataFrame(
        {
            "recording": predictions.names,
            "start": 0.0,
            "end": predictions.duration,
            "species": labels,
            "problem": "",
        }
    )
    truth = read_boxes(table[labels != ""], predictions)
    label_of = {label_key(name): column for column, name in enumerate(predictions.labels)}
    for row, recording in enumerate(predictions.names):
        names = (label_of.get(label_key(name)) for name in (background or {}).get(recording, ()))
        truth.possible[row, [column for column in names if column is not None]] = True
    return replace(truth, by_recording=True)


@dataclass(frozen=True)
class WindowTruth:
    """What each window contains, according to the boxes.

    Attributes:
        present: species with a box that overlaps the window enough; shape (windows, species).
        known: whether it is known that the species is present or absent; shape (windows, species).
        has_model_species: a box of one of the model's species touches the window; shape (windows,).
        has_unknown_species: a box of a species that the model does not know touches it.
        has_unnamed: a box that names no species touches it, or some species may be anywhere in the recording.
    """

    present: Flags
    known: Flags
    has_model_species: Flags
    has_unknown_species: Flags
    has_unnamed: Flags

    @property
    def empty(self) -> Flags:
        """Windows that contain none of the model's species: every detection in them is a false alarm; shape (windows,)."""
        return ~self.has_model_species & ~self.has_unnamed


_TIME_TOLERANCE = 1e-6
"""Seconds by which an overlap may be too short, because annotation programs round times."""


def needed_overlap(start: Floats, end: Floats, min_overlap: float) -> Floats:
    """Return how many seconds of each box a window or a detection must overlap."""
    return np.minimum(min_overlap, end - start) - _TIME_TOLERANCE


def window_truth(truth: FieldTruth, predictions: FieldPredictions, min_overlap: float, tolerance: float) -> WindowTruth:
    """Return what each window contains.

    A species is present in a window if one of its boxes overlaps the window by `min_overlap` seconds, or completely if the box is
    shorter. It is unknown if one of its boxes only touches the window, if a box that names no species does, or if
    the recording may have it in the background. A box touches a window
    if less than `tolerance` seconds are between them.
    """
    windows, species = predictions.detected.shape
    present, unsure = np.zeros((windows, species), bool), np.zeros((windows, species), bool)
    touched = {UNKNOWN: np.zeros(windows, bool), UNNAMED: np.zeros(windows, bool)}
    parts = predictions.windows_of()
    for recording, boxes in truth.boxes.groupby("recording"):
        part = parts[int(recording)]
        start, end = predictions.start[part], predictions.end[part]
        box_start, box_end = boxes["start"].to_numpy(), boxes["end"].to_numpy()
        needed = needed_overlap(box_start, box_end, min_overlap)
        # The windows that a box touches are consecutive, because windows are sorted by both start and end.
        first = np.searchsorted(end, box_start - tolerance, side="right") + part.start
        last = np.searchsorted(start, box_end + tolerance, side="left") + part.start
        for i, column in enumerate(boxes["species"]):
            rows = slice(first[i], last[i])
            if column < 0:
                touched[column][rows] = True
                continue
            unsure[rows, column] = True
            overlap = np.minimum(predictions.end[rows], box_end[i]) - np.maximum(predictions.start[rows], box_start[i])
            present[rows, column] |= overlap >= needed[i]
    unnamed = touched[UNNAMED] | np.asarray(truth.possible.any(axis=1))[predictions.recording]
    known = present | ~(unsure | touched[UNNAMED][:, None] | truth.possible[predictions.recording])
    return WindowTruth(present, known, np.asarray(unsure.any(axis=1)), touched[UNKNOWN], unnamed)
