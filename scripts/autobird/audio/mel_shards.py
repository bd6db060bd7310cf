"""Stage `mel_shards`: compute the mel frames of one batch, stored one recording after the other in one `.npy` file."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.batch import process_batch
from autobird.audio.mel import FrontEnd, window_mean_std
from autobird.audio.npy import NpyWriter
from autobird.audio.settings import MelSettings
from autobird.core.columns import read_columns, write_columns
from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, scratch
from autobird.core.progress import RecordingProgress
from autobird.core.stage import log, parser, run, settings_of, stage
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
"""One row per window, in the order of the segment table: its first frame in the shard, and mean and standard deviation
of its mel values in the units of the front end. The filter of quiet windows and the normalisation use them."""


class MelJob(NamedTuple):
    """Computation of the frames of one recording.

    Attributes:
        pcm: `.npy` file of the batch's samples.
        offset: first sample of the recording.
        samples: number of its samples.
        part: temporary file for its frames, float16.
        settings: the front end.
        recording: its name, for error messages.
    """

    pcm: Path
    offset: int
    samples: int
    part: Path
    settings: MelSettings
    recording: str = ""

    @property
    def size(self) -> int:
        """See `BatchJob`."""
        return self.samples


class WindowFrames(NamedTuple):
    """First frame, mean and standard deviation of each window of a recording; each of shape (windows,)."""

    firsts: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


_NO_WINDOWS = WindowFrames(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

_front_end = cache(FrontEnd.of)


def compute_frames(job: MelJob) -> tuple[int, WindowFrames]:
    """Write the frames of one recording to `job.part`; return their number, and the windows.

    Raises:
        AutobirdError: a value is too large for float16, in which frames are stored.
    """
    front_end = _front_end(job.settings)
    pcm: NDArray[np.int16] = np.load(job.pcm, mmap_mode="r")
    frames, firsts = front_end.windows(pcm[job.offset : job.offset + job.samples])
    with np.errstate(over="ignore"):
        stored = frames.astype("<f2")
    if not np.isfinite(stored).all():
        raise AutobirdError(
            f"{job.recording}: a value of its frames is {np.abs(frames).max():.3g}; frames are stored as float16, whose "
            f"largest value is 65504. Lower features.magnitude_exponent or features.pcen_power (front_end is "
            f"{job.settings.front_end})"
        )
    job.part.write_bytes(stored.data)
    return len(stored), WindowFrames(firsts, *window_mean_std(stored, firsts, front_end.frames_per_window))


def write_mel_shard(jobs: Sequence[MelJob], shard: Path, settings: MelSettings, workers: int) -> list[WindowFrames]:
    """Write the frames of all recordings to `shard`; return their windows in order, with first frames in the shard."""
    windows: list[WindowFrames] = [_NO_WINDOWS] * len(jobs)
    counts = np.zeros(len(jobs), np.int64)
    with RecordingProgress("mel_shards", len(jobs)) as progress, NpyWriter(shard, "<f2", (settings.mels,)) as out:
        for number, result in process_batch(compute_frames, jobs, workers, out):
            if isinstance(result, Crash):
                raise AutobirdError(
                    f"{jobs[number].recording}: the process that computed its frames crashed ({result.signal})"
                )
            counts[number], windows[number] = result
            progress(jobs[number].samples / settings.sample_rate)
    first = np.cumsum(counts) - counts
    return [w._replace(firsts=w.firsts + at) for w, at in zip(windows, first, strict=True)]


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


def check_windows(
    segments: Path, names: Sequence[str], begins: NDArray[np.intp], windows: Sequence[WindowFrames]
) -> None:
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
    p.add_argument("--segments", type=Path, required=True, help="table of windows")
    p.add_argument("--pcm", type=Path, required=True, help="decoded samples of the batch")
    p.add_argument("--threads", type=int, default=1, help="number of worker processes")
    p.add_argument("--shard", type=Path, required=True, help="mel frames to write")
    p.add_argument("--table", type=Path, required=True, help="table of the windows' frames to write")
    args = p.parse_args(argv)
    settings = settings_of(MelSettings, args.settings)
    with stage("mel_shards", args, [args.shard, args.table]):
        names, starts, offsets, samples = read_columns(args.segments, ["recording", "start", "offset", "samples"])
        begins = np.flatnonzero(np.diff(offsets, prepend=-1))  # the first window of each recording
        check_pcm(args.segments, args.pcm, offsets, samples)
        with scratch(args.shard) as folder, atomic(args.shard) as temporary:
            jobs = [
                MelJob(args.pcm, int(offsets[at]), int(samples[at]), folder / f"{n}.f16", settings, names[at])
                for n, at in enumerate(begins)
            ]
            windows = write_mel_shard(jobs, temporary, settings, args.threads)
        check_windows(args.segments, names, begins, windows)
        columns: dict[str, Any] = {"recording": names, "start": starts}
        for name, parts in zip(
            ("first_frame", "mel_mean", "mel_std"), zip(*windows, _NO_WINDOWS, strict=True), strict=True
        ):
            columns[name] = np.concatenate(parts)
        write_columns(args.table, columns, MELS)
        log.info("%d windows of %d recordings", len(names), len(jobs))


if __name__ == "__main__":
    run(main)
