"""Stage `mel_shards`: the mel frames of one batch, end to end in one memory-mappable file."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.batch import work_through
from autobird.audio.mel import FrontEnd, window_moments
from autobird.audio.npy import NpyWriter
from autobird.audio.settings import MelSettings
from autobird.core.columns import read_columns, write_columns
from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, scratch
from autobird.core.stage import Speed, log, parser, run, settings_of, stage
from autobird.core.workers import Crash

MELS = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.int64()),
        ("first_frame", pa.int64()),
        ("mel_mean", pa.float64()),
        ("mel_std", pa.float64()),
    ]
)
"""One row a window, in the order of the segment table: its first frame in the shard, and mean and standard
deviation of its cells in the front end's units, from which the filter and the normalisation are made."""


class Task(NamedTuple):
    """A recording whose frames are computed.

    Attributes:
        pcm: the batch's samples.
        offset: the recording's first one.
        samples: how many it has.
        part: the file that takes its frames, float16.
        settings: the front end.
        recording: its name, for an error.
    """

    pcm: Path
    offset: int
    samples: int
    part: Path
    settings: MelSettings
    recording: str = ""

    @property
    def size(self) -> int:
        """See `batch.Task`."""
        return self.samples


class Windows(NamedTuple):
    """The windows of a recording: first frame of each, mean and standard deviation; each of shape (windows,)."""

    firsts: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


_NONE = Windows(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

_front_end = cache(FrontEnd.of)


def compute(task: Task) -> tuple[int, Windows]:
    """Write the frames of one recording, and say how many they are, and which windows they make.

    Raises:
        AutobirdError: some are too large for float16, in which they are stored.
    """
    front_end = _front_end(task.settings)
    pcm: NDArray[np.int16] = np.load(task.pcm, mmap_mode="r")
    frames, firsts = front_end.windows(pcm[task.offset : task.offset + task.samples])
    with np.errstate(over="ignore"):
        stored = frames.astype("<f2")
    if not np.isfinite(stored).all():
        raise AutobirdError(
            f"{task.recording}: a value of its frames is {np.abs(frames).max():.3g}, and float16, in which frames are stored, "
            f"ends at 65504; lower features.magnitude_exponent or features.pcen_power (front_end is {task.settings.front_end})"
        )
    task.part.write_bytes(stored.data)
    return len(stored), Windows(firsts, *window_moments(stored, firsts, front_end.frames_per_window))


def mel_shard(tasks: Sequence[Task], shard: Path, settings: MelSettings, workers: int) -> list[Windows]:
    """Write the frames of all recordings to `shard`; their windows in order, with first frames in the shard."""
    found: list[Windows] = [_NONE] * len(tasks)
    counts = np.zeros(len(tasks), np.int64)
    with Speed("mel_shards", len(tasks)) as speed, NpyWriter(shard, "<f2", (settings.mels,)) as out:
        for number, result in work_through(compute, tasks, workers, out):
            if isinstance(result, Crash):
                raise AutobirdError(f"computing the frames of a recording ended its process ({result.signal})")
            counts[number], found[number] = result
            speed(tasks[number].samples / settings.sample_rate)
    first = np.cumsum(counts) - counts
    return [w._replace(firsts=w.firsts + at) for w, at in zip(found, first, strict=True)]


def check_pcm(segments: Path, pcm: Path, offsets: NDArray[np.int64], samples: NDArray[np.int64]) -> None:
    """Check that a table of segments belongs to a PCM file: the recordings in the table fill the file.

    Raises:
        AutobirdError: otherwise.
    """
    stored = len(np.load(pcm, mmap_mode="r"))
    expected = int((offsets + samples).max(initial=0))
    if stored != expected:
        raise AutobirdError(
            f"{pcm} has {stored} samples, but the recordings in {segments} have {expected}; delete both files and run again"
        )


def check_windows(segments: Path, names: Sequence[str], begins: NDArray[np.intp], windows: Sequence[Windows]) -> None:
    """Check that each recording has as many computed windows as rows in the table of segments.

    The computed windows are joined with the table by the order of its rows.

    Args:
        segments: file of the table, for the error message.
        names: recording of each row of the table.
        begins: first row of each recording.
        windows: computed windows of each recording.

    Raises:
        AutobirdError: otherwise.
    """
    expected = np.diff([*begins, len(names)])
    computed = np.array([len(w.firsts) for w in windows], int)
    for number in np.flatnonzero(computed != expected)[:1]:
        raise AutobirdError(
            f"{segments} has {expected[number]} windows of {names[begins[number]]}, but {computed[number]} were computed; delete the "
            "file and run again"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--segments", type=Path, required=True)
    p.add_argument("--pcm", type=Path, required=True)
    p.add_argument("--threads", type=int, default=1, help="processes that compute")
    p.add_argument("--shard", type=Path, required=True)
    p.add_argument("--table", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(MelSettings, args.settings)
    with stage("mel_shards", args, [args.shard, args.table]):
        names, starts, offsets, samples = read_columns(args.segments, ["recording", "start", "offset", "samples"])
        begins = np.flatnonzero(np.diff(offsets, prepend=-1))  # the first window of each recording
        check_pcm(args.segments, args.pcm, offsets, samples)
        with scratch(args.shard) as folder, atomic(args.shard) as temporary:
            tasks = [
                Task(args.pcm, int(offsets[at]), int(samples[at]), folder / f"{n}.f16", settings, names[at])
                for n, at in enumerate(begins)
            ]
            windows = mel_shard(tasks, temporary, settings, args.threads)
        check_windows(args.segments, names, begins, windows)
        columns: dict[str, Any] = {"recording": names, "start": starts}
        for name, parts in zip(("first_frame", "mel_mean", "mel_std"), zip(*windows, _NONE, strict=True), strict=True):
            columns[name] = np.concatenate(parts)
        write_columns(args.table, columns, MELS)
        log.info("%d windows of %d recordings", len(names), len(tasks))


if __name__ == "__main__":
    run(main)
