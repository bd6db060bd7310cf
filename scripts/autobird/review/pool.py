"""The pool of a review as a file: recordings, their windows, and the possible species in each window."""

import datetime as dt
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.core.files import atomic
from autobird.core.walk import path_of_printable
from autobird.predict.origin import Origin, Place, Places

_FORMAT = 2
"""Version of the file."""

_NIGHT = dt.timedelta(hours=12)
"""A session of a recorder lasts from noon to noon, so that a night is one session."""


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
        serial: serial number of the recorder in the header (`Origin.serial`).
        header_time: start in the header (`Origin.header_time`).
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
    serial: str = ""
    header_time: str = ""

    def placed(self, places: Places) -> "PoolFile":
        """Return the recording with site, recorder and start as `places` determines them."""
        place = places.of(Origin(self.name, self.serial, self.header_time))
        return self._replace(site=place.site, recorder=place.recorder, recorded_at=place.recorded_at)

    def path(self, recordings: Path) -> Path:
        """Return the path of the file; `recordings` is the folder of the recordings, or the only recording."""
        return path_of_printable(recordings if recordings.is_dir() else recordings.parent, self.name)

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
        item_probability: the calibrated probability of the species, in double precision, as limits such as 0.9 have; shape (items,).
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
    item_probability: NDArray[np.float64]

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
            np.savez_compressed(
                file, about=np.array(json.dumps(about)), **{name: getattr(self, name) for name in ARRAYS}
            )

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
                arrays = {name: content[name] for name in ARRAYS}
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise AutobirdError(f"{path} cannot be read ({error}); remove it, and run autobird review again") from error
        return cls(about["model"], tuple(about["labels"]), float(about["floor"]), files, **arrays)

    def local_time(self, window: int) -> dt.datetime | None:
        """Return the local time at which a window starts; None if the start of its recording is unknown."""
        file = self.files[self.window_file[window]]
        return Place(start=file.start).at(float(self.window_start[window]))


ARRAYS = (
    "window_file", "window_start", "window_end", "window_unknown", "window_best", "window_probability", "item_window", "item_species",
    "item_probability",
)  # fmt: skip
"""Arrays of a pool: one value of each window, then one of each item."""
