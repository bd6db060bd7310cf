"""Stage `embed`: compute the embeddings of the windows of one batch, in the order of the batch's table of segments."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.access import AudioSource, RecordingLocation, RecordingRoots, audio_sources, open_source
from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.audio.batch import process_batch
from autobird.audio.decode import decode_resampled_into
from autobird.audio.npy import NpyWriter
from autobird.audio.settings import WindowSettings
from autobird.backbone.base import Backbone, BackboneInfo
from autobird.backbone.known import BackboneKey
from autobird.backbone.load import load_described
from autobird.backbone.stream import EmbeddingStream
from autobird.core.columns import read_columns, write_columns
from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, scratch
from autobird.core.progress import RecordingProgress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.workers import Crash, run_each

EMBEDDINGS = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.int64()),
        ("bandwidth", pa.int32()),
    ]
)
"""One row per window, in the order of the segment table; row i belongs to row i of the array of embeddings.

- `start`: first sample of the window at the sampling rate of the features.
- `bandwidth`: highest frequency that both the recording and the backbone's input have, Hz."""

_NARROW = 0.5
"""Recordings with less than this share of the backbone's bandwidth are reported."""

_TOLERANCE = 0.1
"""Seconds by which the length of a recording may differ between the sampling rates of the features and of the backbone."""

_DECODED_SHARE = 3.0
"""Share of the known length of a recording after which decoding is stopped. Stage `recordings` accepts up to
`MAX_SAMPLES_PER_SECOND` of all channels, which is 2.6 times what a limit on the length allows (see `audio.limits`)."""


class EmbedJob(NamedTuple):
    """Computation of the embeddings of one recording.

    Attributes:
        location: the recording and the part of the file that holds it.
        audio: the file; None if it is missing.
        seconds: length of the recording.
        windows: number of its windows.
        part: temporary file for its embeddings, float16.
        backbone: which backbone.
        file: its file, if it is not found without it.
        settings: windows of the run.
    """

    location: RecordingLocation
    audio: AudioSource | None
    seconds: float
    windows: int
    part: Path
    backbone: BackboneKey
    file: str | None
    settings: WindowSettings

    @property
    def size(self) -> int:
        """See `BatchJob`."""
        return self.windows


class _Writer:
    """Consumer of the samples of one decode attempt: writes the embeddings that are complete, so that memory does not hold them all.

    Args:
        file: receives the embeddings, float16; what an earlier attempt wrote is removed.
        stream: computes them.
    """

    def __init__(self, file: BinaryIO, stream: EmbeddingStream) -> None:
        self._file, self.stream, self._windows = file, stream, 0
        file.seek(0)
        file.truncate()

    def add(self, samples: NDArray[np.int16]) -> None:
        self.stream.add(samples)
        self._write(self.stream.take())

    def finish(self, windows: int) -> int:
        """Write the remaining embeddings; return the number of all."""
        self._write(self.stream.finish(windows))
        return self._windows

    def _write(self, embeddings: NDArray[np.float16]) -> None:
        self._file.write(embeddings.astype("<f2", copy=False).data)
        self._windows += len(embeddings)


@cache
def load_cached(key: BackboneKey, file: str | None) -> Backbone:
    """Return the backbone, which is loaded once per process, and only in worker processes: a fork may not copy it in a usable state."""
    return load_described(key.description(), file, key.sha256)


def backbone_info(job: tuple[BackboneKey, str | None]) -> BackboneInfo:
    """Load the backbone of this key and file, and return what identifies it."""
    return load_cached(*job).info


def embed_recording(job: EmbedJob) -> int:
    """Write the embeddings of one recording to `job.part`; return the number of windows.

    Raises:
        AutobirdError: the recording cannot be decoded as stage `recordings` decoded it, or a value is not finite.
    """
    backbone, name = load_cached(job.backbone, job.file), job.location.recording
    again = "was the file changed since stage `recordings` decoded it? Run again"
    if job.audio is None:
        raise AutobirdError(f"{name}: it is missing from the batch's archive; {again}")
    try:
        with open_source(job.audio) as audio, job.part.open("wb") as part:
            writer = decode_resampled_into(
                audio,
                backbone.info.sample_rate,
                lambda: _Writer(part, EmbeddingStream(backbone, job.settings)),
                _DECODED_SHARE * job.seconds + 1,
                job.location.span,
            )
            decoded = writer.stream.samples / backbone.info.sample_rate
            if abs(decoded - job.seconds) > _TOLERANCE:
                raise UnusableAudio(f"{decoded:.1f} s instead of {job.seconds:.1f} s")
            return writer.finish(job.windows)
    except (TooLong, UnusableAudio) as error:
        raise AutobirdError(f"{name}: it cannot be decoded again ({error}); {again}") from error
    except AutobirdError as error:
        raise AutobirdError(f"{name}: {error}") from error


def embed_batch(jobs: Sequence[EmbedJob], out: NpyWriter, workers: int) -> None:
    """Append the embeddings of all recordings to `out`, in the order of `jobs`.

    Raises:
        AutobirdError: see `embed_recording`; also if the process of a recording crashed.
    """
    with RecordingProgress("embed", len(jobs)) as progress:
        for number, result in process_batch(embed_recording, jobs, workers, out):
            if isinstance(result, Crash):
                raise AutobirdError(
                    f"{jobs[number].location.recording}: the process that computed its embeddings crashed ({result.signal})"
                )
            progress(jobs[number].seconds)


def read_locations(recordings: Path) -> dict[str, RecordingLocation]:
    """Return the location of each recording in a table of the stage `recordings`."""
    columns = read_columns(recordings, RecordingLocation._fields)
    return {row[0]: RecordingLocation(*row) for row in zip(*columns, strict=True)}


def bandwidths(sample_rates: NDArray[np.int32], info: BackboneInfo) -> NDArray[np.int32]:
    """Return the highest frequency, Hz, that is in both the recordings and the backbone's input."""
    return np.minimum(sample_rates, info.sample_rate) // 2


def report_bandwidth(names: Sequence[str], found: NDArray[np.int32], info: BackboneInfo) -> None:
    """Log how many recordings lack the upper part of the frequencies that the backbone expects."""
    full = info.sample_rate // 2
    narrow = [name for name, bandwidth in zip(names, found, strict=True) if bandwidth < _NARROW * full]
    log.info(
        "%d of %d recordings have less than half of the bandwidth of %s, %d Hz",
        len(narrow),
        len(names),
        info.name,
        full,
    )
    if narrow:
        log.warning(
            "the upper frequencies are missing in %s%s: their sampling rate is too low; the embeddings are those of the lower "
            "frequencies alone (column bandwidth)",
            ", ".join(narrow[:5]),
            f" and {len(narrow) - 5} others" if len(narrow) > 5 else "",
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--backbone", required=True, help="settings of the backbone, as JSON")
    p.add_argument("--file", nargs="?", help="file of the backbone, if it is not found without it")
    p.add_argument("--recordings", type=Path, required=True, help="table of the stage `recordings`")
    p.add_argument("--segments", type=Path, required=True, help="table of windows")
    p.add_argument("--root", type=RecordingRoots.parse, nargs="?", help="folders of the recordings that no tar holds")
    p.add_argument("--audio", type=Path, nargs="*", help="tar archives of the batch")
    p.add_argument("--threads", type=int, default=1, help="number of worker processes")
    p.add_argument("--embeddings", type=Path, required=True, help="array of the embeddings to write")
    p.add_argument("--table", type=Path, required=True, help="table of the embedded windows to write")
    args = p.parse_args(argv)
    settings, key = settings_of(WindowSettings, args.settings), settings_of(BackboneKey, args.backbone)
    with stage("embed", args, [args.embeddings, args.table]):
        locations = read_locations(args.recordings)
        names, starts, samples = read_columns(args.segments, ["recording", "start", "samples"])
        rates = dict(zip(*read_columns(args.recordings, ["recording", "sample_rate"]), strict=True))
        begins = [n for n, name in enumerate(names) if n == 0 or names[n - 1] != name]
        recordings = [names[at] for at in begins]
        sources = audio_sources([locations[name] for name in recordings], args.root, args.audio)
        (_, info), *_ = run_each(backbone_info, [(key, args.file or None)], 1)
        if isinstance(info, Crash):
            raise AutobirdError(f"backbone {key.name}: the process that loaded it crashed ({info.signal})")
        with scratch(args.embeddings) as folder, atomic(args.embeddings) as temporary:
            jobs = [
                EmbedJob(
                    locations[names[at]], source, int(samples[at]) / settings.sample_rate, end - at, folder / f"{at}.f16", key,
                    args.file or None, settings,
                )
                for at, end, source in zip(begins, [*begins, len(names)][1:], sources, strict=True)
            ]  # fmt: skip
            with NpyWriter(temporary, "<f2", (info.width,)) as out:
                embed_batch(jobs, out, args.threads)
        found = bandwidths(np.array([rates[name] for name in recordings], np.int32), info)
        counts = [job.windows for job in jobs]
        columns = {"recording": names, "start": starts, "bandwidth": np.repeat(found, counts)}
        write_columns(args.table, columns, EMBEDDINGS)
        log.info("%d windows of %d recordings; %s, sha256 %s", len(names), len(jobs), info.name, info.sha256)
        report_bandwidth(recordings, found, info)


if __name__ == "__main__":
    run(main)
