"""The pool of a review: every window of the user's recordings with the species that the model finds possible in it."""

import datetime as dt
import json
import os
import sys
import time
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.core.files import atomic
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.backbone import check_backbone
from autobird.predict.bundle import Bundle
from autobird.predict.files import FileJob, FileResult, predict_files, time_per_megabyte
from autobird.predict.formats import on_one_line
from autobird.predict.inputs import find_files
from autobird.predict.origin import Place, Places

FLOOR = 0.02
"""Lowest probability of a species in a window of the pool. Recall is estimated against it."""

_FORMAT = 1
"""Version of the file."""

_NIGHT = dt.timedelta(hours=12)
"""A session of a recorder lasts from noon to noon, so that a night is one session."""

_SAVE_SECONDS = 60.0
"""Time between two versions of the file while recordings are classified."""


class PoolFile(NamedTuple):
    """A recording of a pool.

    Attributes:
        name: path below the folder of the recordings, with `/`.
        size: bytes.
        modified: time of the last change, nanoseconds.
        duration: length, seconds; 0 if it was skipped.
        windows: number of its windows that are not quiet.
        site: its site, "" if unknown.
        recorder: its recorder, "" if unknown.
        recorded_at: its start, ISO 8601, "" if unknown.
        problem: why it was skipped, "" if it was classified.
    """

    name: str
    size: int
    modified: int
    duration: float
    windows: int
    site: str
    recorder: str
    recorded_at: str
    problem: str = ""

    @property
    def start(self) -> dt.datetime | None:
        """Local time of the start; None if unknown."""
        return dt.datetime.fromisoformat(self.recorded_at) if self.recorded_at else None

    @property
    def session(self) -> str:
        """Recordings of one recorder (or site) from noon to noon are one session; a recording of unknown time is one by itself."""
        where, start = self.site or self.recorder, self.start
        if start is None:
            return self.name
        return f"{where} {(start - _NIGHT).date().isoformat()}"


@dataclass(frozen=True)
class Pool:
    """The windows of a folder of recordings and the possible species in them.

    An item is a pair of a window and a species whose probability is at least the floor.

    Attributes:
        model: fingerprint of the bundle.
        labels: species of the bundle.
        floor: lowest probability of an item.
        files: the recordings.
        window_file: recording of each window that is not quiet, as an index; increasing; shape (windows,).
        window_start: its start, seconds; shape (windows,).
        window_end: its end, seconds; shape (windows,).
        window_unknown: its `unknown_score`, NaN without one; shape (windows,).
        window_best: its most probable species, as an index; shape (windows,).
        window_probability: probability of that species; shape (windows,).
        item_window: window of each item, as an index; increasing; shape (items,).
        item_species: its species, as an index; shape (items,).
        item_probability: the calibrated probability of the species; shape (items,).
    """

    model: str
    labels: tuple[str, ...]
    floor: float
    files: tuple[PoolFile, ...]
    window_file: NDArray[np.int32]
    window_start: NDArray[np.float64]
    window_end: NDArray[np.float64]
    window_unknown: NDArray[np.float32]
    window_best: NDArray[np.int16]
    window_probability: NDArray[np.float32]
    item_window: NDArray[np.int32]
    item_species: NDArray[np.int16]
    item_probability: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write the pool to a compressed NPZ file, atomically."""
        about = {
            "format": _FORMAT,
            "model": self.model,
            "labels": self.labels,
            "floor": self.floor,
            "files": self.files,
        }
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, about=np.array(json.dumps(about)), **{name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def load(cls, path: Path) -> "Pool":
        """Read a pool.

        Raises:
            AutobirdError: the file is not there, is damaged, or is of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                about = json.loads(str(content["about"]))
                if about["format"] != _FORMAT:
                    raise ValueError(f"format {about['format']}")
                files = tuple(PoolFile(*values) for values in about["files"])
                arrays = {name: content[name] for name in _ARRAYS}
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise AutobirdError(f"{path} cannot be read ({error}); remove it, and run autobird review again") from error
        return cls(about["model"], tuple(about["labels"]), float(about["floor"]), files, **arrays)

    def local_time(self, window: int) -> dt.datetime | None:
        """Return the local time at which a window starts; None if the start of its recording is unknown."""
        file = self.files[self.window_file[window]]
        return Place(start=file.start).at(float(self.window_start[window]))


_ARRAYS = (
    "window_file", "window_start", "window_end", "window_unknown", "window_best", "window_probability", "item_window", "item_species",
    "item_probability",
)  # fmt: skip


@dataclass(frozen=True)
class PoolOptions:
    """How a pool is made.

    Attributes:
        floor: lowest probability of an item.
        places: how site and time of a recording are determined.
        workers: number of worker processes.
        backbone: file of the backbone; None: see `check_backbone`.
    """

    floor: float = FLOOR
    places: Places = Places()
    workers: int = 1
    backbone: Path | None = None


def build_pool(bundle: Bundle, recordings: Path, path: Path, options: PoolOptions | None = None) -> Pool:
    """Return the pool of a folder, and store it. Recordings that have not changed since the stored pool are not classified again.

    Args:
        bundle: the bundle.
        recordings: folder of the recordings, or one recording.
        path: file of the pool; a pool of another bundle or floor in it is replaced.
        options: how it is made.

    Raises:
        AutobirdError: there is no recording, or the file cannot be written.
    """
    o = options or PoolOptions()
    found = find_files([recordings])
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    known = _stored(path, bundle, o.floor)
    parts: dict[str, _Part] = {}
    missing: list[tuple[Path, str]] = []
    for file, below in zip(found.files, found.below, strict=True):
        status = file.stat()
        part = known.get(below)
        if part is not None and (part.file.size, part.file.modified) == (status.st_size, status.st_mtime_ns):
            parts[below] = part
        else:
            missing.append((file, below))
    if known and missing:
        print(f"{path}: {len(parts)} recordings are taken over, {len(missing)} are new or changed", file=sys.stderr)
    saved = time.monotonic()
    for below, part in _classify(bundle, missing, o):
        parts[below] = part
        if time.monotonic() - saved > _SAVE_SECONDS:
            _store(_joined(bundle, o.floor, parts), path)
            saved = time.monotonic()
            print(f"{len(parts)} of {len(found.files)} recordings are classified", file=sys.stderr, flush=True)
    pool = _joined(bundle, o.floor, parts)
    if missing or not path.is_file() or len(known) != len(parts):
        _store(pool, path)
    return pool


class _Part(NamedTuple):
    """The windows of one recording: `Pool`, with numbers of windows that count from its first one."""

    file: PoolFile
    windows: dict[str, NDArray[Any]]
    items: dict[str, NDArray[Any]]


def _stored(path: Path, bundle: Bundle, floor: float) -> dict[str, _Part]:
    """Return the recordings of the stored pool by name; none if it is of another bundle or floor, or cannot be read."""
    if not path.is_file():
        return {}
    try:
        pool = Pool.load(path)
    except AutobirdError as error:
        print(f"note: {error}; it is made again", file=sys.stderr)
        return {}
    if (pool.model, pool.floor) != (bundle.fingerprint, floor):
        return {}
    bounds = np.searchsorted(pool.window_file, np.arange(len(pool.files) + 1))
    item_bounds = np.searchsorted(pool.item_window, bounds)
    out = {}
    for n, file in enumerate(pool.files):
        windows, items = slice(bounds[n], bounds[n + 1]), slice(item_bounds[n], item_bounds[n + 1])
        of_items = {name: getattr(pool, name)[items] for name in _ARRAYS if name.startswith("item_")}
        of_items["item_window"] = of_items["item_window"] - bounds[n]
        of_windows = {
            name: getattr(pool, name)[windows] for name in _ARRAYS if name.startswith("window_") and name != "window_file"
        }
        out[file.name] = _Part(file, of_windows, of_items)
    return out


def _store(pool: Pool, path: Path) -> None:
    try:
        pool.save(path)
    except OSError as error:
        raise AutobirdError(f"{path} cannot be written ({error.strerror or error}); name another --output") from error


def _classify(bundle: Bundle, files: Sequence[tuple[Path, str]], o: PoolOptions) -> Iterable[tuple[str, _Part]]:
    """Yield the name and the windows of each recording, in the order of completion."""
    if not files:
        return
    backbone = check_backbone(bundle, o.backbone)
    jobs = [
        FileJob(bundle.folder, file, below, None, True, backbone, below, AnswerOptions(overlay=False))
        for file, below in files
    ]
    with closing(predict_files(jobs, min(o.workers, len(jobs)), None, time_per_megabyte(bundle))) as results:
        for number, result in results:
            file, below = files[number]
            if result.error:
                print(f"{on_one_line(below)}: skipped: {result.error}", file=sys.stderr)
            yield below, _part(file.stat(), below, result, o)


def _part(status: os.stat_result, name: str, result: FileResult, o: PoolOptions) -> _Part:
    windows = [w for w in result.windows or () if not w.quiet]
    probabilities = np.array([w.probabilities for w in windows], np.float32).reshape(len(windows), -1)
    number, species = np.nonzero(probabilities >= o.floor) if len(windows) else (np.zeros(0, int), np.zeros(0, int))
    place = o.places.of(result.origin)
    file = PoolFile(
        name, status.st_size, status.st_mtime_ns, result.duration, len(windows), place.site, place.recorder, place.recorded_at,
        result.error,
    )  # fmt: skip
    unknown = [np.nan if w.unknown_score is None else w.unknown_score for w in windows]
    best = probabilities.argmax(axis=1) if len(windows) else np.zeros(0, int)
    return _Part(
        file,
        {
            "window_start": np.array([w.start for w in windows], np.float64),
            "window_end": np.array([w.end for w in windows], np.float64),
            "window_unknown": np.array(unknown, np.float32),
            "window_best": best.astype(np.int16),
            "window_probability": probabilities[np.arange(len(windows)), best] if len(windows) else np.zeros(0, np.float32),
        },
        {
            "item_window": number.astype(np.int32),
            "item_species": species.astype(np.int16),
            "item_probability": probabilities[number, species] if len(windows) else np.zeros(0, np.float32),
        },
    )


def _joined(bundle: Bundle, floor: float, parts: dict[str, _Part]) -> Pool:
    """Return the pool of some recordings, sorted by name."""
    ordered = [parts[name] for name in sorted(parts)]
    counts = [part.file.windows for part in ordered]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    arrays: dict[str, NDArray[Any]] = {"window_file": np.repeat(np.arange(len(ordered)), counts).astype(np.int32)}
    for name in _ARRAYS[1:6]:
        arrays[name] = np.concatenate([part.windows[name] for part in ordered])
    for name in _ARRAYS[6:]:
        arrays[name] = np.concatenate([part.items[name] for part in ordered])
    lengths = [len(part.items["item_window"]) for part in ordered]
    arrays["item_window"] = (arrays["item_window"] + np.repeat(first[:-1], lengths)).astype(np.int32)
    return Pool(bundle.fingerprint, bundle.labels, floor, tuple(part.file for part in ordered), **arrays)
