"""The pool of a review: every window of the user's recordings with the species that the model finds possible in it."""

import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.backbone import check_backbone
from autobird.predict.bundle import Bundle
from autobird.predict.files import FileJob, FileResult, predict_files, time_per_megabyte
from autobird.predict.formats import on_one_line
from autobird.predict.inputs import find_files
from autobird.predict.origin import Places
from autobird.review.pool import ARRAYS, Pool, PoolFile

FLOOR = 0.02
"""Lowest probability of a species in a window of the pool. Recall is estimated against it."""

_SAVE_SECONDS = 60.0
"""Time between two versions of the file while recordings are classified."""


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
    places: Places = field(default_factory=Places)
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
    missing: list[_Missing] = []
    for file, below in zip(found.files, found.below, strict=True):
        status = file.stat()
        part = known.get(below)
        if part is not None and (part.file.size, part.file.modified) == (status.st_size, status.st_mtime_ns):
            parts[below] = part._replace(file=part.file.placed(o.places))
        else:
            missing.append(_Missing(file, below, status))
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
    if missing or pool.files != tuple(known[name].file for name in sorted(known)):
        _store(pool, path)
    return pool


class _Missing(NamedTuple):
    """A recording to classify: its file, its path below the folder of the recordings, and its state before."""

    file: Path
    below: str
    status: os.stat_result


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
        of_items = {name: getattr(pool, name)[items] for name in ARRAYS if name.startswith("item_")}
        of_items["item_window"] = of_items["item_window"] - bounds[n]
        of_windows = {
            name: getattr(pool, name)[windows]
            for name in ARRAYS
            if name.startswith("window_") and name != "window_file"
        }
        out[file.name] = _Part(file, of_windows, of_items)
    return out


def _store(pool: Pool, path: Path) -> None:
    try:
        pool.save(path)
    except OSError as error:
        raise AutobirdError(f"{path} cannot be written ({error.strerror or error}); name another --output") from error


def _classify(bundle: Bundle, files: Sequence[_Missing], o: PoolOptions) -> Iterable[tuple[str, _Part]]:
    """Yield the name and the windows of each recording, in the order of completion."""
    if not files:
        return
    backbone = check_backbone(bundle, o.backbone)
    jobs = [
        FileJob(bundle.folder, f.file, f.below, None, True, backbone, f.below, AnswerOptions(overlay=False))
        for f in files
    ]
    with closing(predict_files(jobs, min(o.workers, len(jobs)), None, time_per_megabyte(bundle))) as results:
        for number, result in results:
            found = files[number]
            if result.error:
                print(f"{on_one_line(found.below)}: skipped: {result.error}", file=sys.stderr)
            yield found.below, _part(found, len(bundle.labels), result, o)


def _part(found: _Missing, species_count: int, result: FileResult, o: PoolOptions) -> _Part:
    windows = [w for w in result.windows or () if not w.quiet]
    probabilities = np.array([w.probabilities for w in windows], np.float64).reshape(len(windows), species_count)
    number, species = np.nonzero(probabilities >= o.floor)
    # A recording for which the time or the memory was not enough is tried again by the next command.
    size = found.status.st_size if result.is_final else -1
    file = PoolFile(
        found.below, size, found.status.st_mtime_ns, result.duration, len(windows), "", "", "", result.error,
        result.origin.serial, result.origin.header_time,
    ).placed(o.places)  # fmt: skip
    unknown = [np.nan if w.unknown_score is None else w.unknown_score for w in windows]
    best = probabilities.argmax(axis=1)
    return _Part(
        file,
        {
            "window_start": np.array([w.start for w in windows], np.float64),
            "window_end": np.array([w.end for w in windows], np.float64),
            "window_unknown": np.array(unknown, np.float32),
            "window_best": best.astype(np.int16),
            "window_probability": probabilities[np.arange(len(windows)), best].astype(np.float32),
        },
        {
            "item_window": number.astype(np.int32),
            "item_species": species.astype(np.int16),
            "item_probability": probabilities[number, species],
        },
    )


def _joined(bundle: Bundle, floor: float, parts: dict[str, _Part]) -> Pool:
    """Return the pool of some recordings, sorted by name."""
    ordered = [parts[name] for name in sorted(parts)]
    counts = [part.file.windows for part in ordered]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    arrays: dict[str, NDArray[Any]] = {"window_file": np.repeat(np.arange(len(ordered)), counts).astype(np.int32)}
    for name in ARRAYS[1:6]:
        arrays[name] = np.concatenate([part.windows[name] for part in ordered])
    for name in ARRAYS[6:]:
        arrays[name] = np.concatenate([part.items[name] for part in ordered])
    lengths = [len(part.items["item_window"]) for part in ordered]
    arrays["item_window"] = (arrays["item_window"] + np.repeat(first[:-1], lengths)).astype(np.int32)
    return Pool(bundle.fingerprint, bundle.labels, floor, tuple(part.file for part in ordered), **arrays)
