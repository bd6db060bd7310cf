"""Stage `recordings`: decode every recording of one batch once, write its samples, and record its properties."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.access import (
    AudioSource,
    RecordingLocation,
    RecordingRoots,
    audio_sources,
    open_source,
    source_size,
)
from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.audio.batch import process_batch
from autobird.audio.decode import decode_into
from autobird.audio.headers import read_header
from autobird.audio.landmarks import NO_LANDMARKS, SAMPLE_RATE, LandmarkArrays, LandmarkFile, Landmarks
from autobird.audio.npy import NpyWriter
from autobird.audio.resample import Resampler, to_int16
from autobird.core.columns import write_arrow
from autobird.core.decimals import rounded_beside
from autobird.core.files import atomic, read_rows, scratch
from autobird.core.progress import RecordingProgress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.workers import Crash
from autobird.corpus.schemas import RECORDINGS
from autobird.corpus.settings import RecordingsStageSettings


class RecordingJob(NamedTuple):
    """A recording to decode and check.

    Attributes:
        row: its row of the batch manifest.
        audio: where its bytes are; None if the download did not provide them.
        download_problem: why the download did not provide them, "" if unknown.
        part: file for its mono samples, int16 at the sampling rate of the features. It does not exist afterwards if the
            recording is unusable.
        settings: requirements that a recording must meet to be used.
    """

    row: dict[str, str]
    audio: AudioSource | None
    download_problem: str
    part: Path
    settings: RecordingsStageSettings

    @property
    def size(self) -> int:
        """Size of the recording's file in bytes, as an estimate of the work (see `audio.batch`)."""
        return source_size(self.audio)


def examine(job: RecordingJob) -> tuple[dict[str, Any], LandmarkArrays]:
    """Return a recording's row of `RECORDINGS`, and its landmarks if it is usable.

    A problem with the recording raises no error: it becomes the row's `reason`.
    """
    row = _row_without_properties(job.row)
    if job.row["problem"]:
        return row | {"reason": job.row["problem"]}, NO_LANDMARKS
    if job.audio is None:
        return row | {"reason": job.download_problem or "missing from the batch's archive"}, NO_LANDMARKS
    landmarks = NO_LANDMARKS
    try:
        with open_source(job.audio) as audio, job.part.open("wb") as pcm:
            if not isinstance(audio, Path):
                row["file_sha256"] = hashlib.file_digest(audio, "sha256").hexdigest()  # type: ignore[arg-type]
            row |= read_header(audio)._asdict()
            landmarks = _decode(audio, job, pcm, row)
        row["reason"] = _rejection_reason(row, job.settings)
    except TooLong as error:
        row["reason"] = f"{error}; cut it or raise corpus.max_duration"
    except UnusableAudio as error:
        row["reason"] = str(error)
    if row["reason"]:
        job.part.unlink(missing_ok=True)
        return row | {"samples": 0}, NO_LANDMARKS
    return row | {"status": "ok"}, landmarks


def _decode(audio: Path | BinaryIO, job: RecordingJob, pcm: BinaryIO, row: dict[str, Any]) -> LandmarkArrays:
    """Decode a recording into `pcm`, add its measured properties to `row`, and return its landmarks."""
    measured, consumer = decode_into(
        audio,
        lambda sample_rate: _SampleConsumer(sample_rate, job.settings, pcm),
        job.settings.max_duration,
        RecordingLocation.from_row(job.row).span,
    )
    properties = dataclasses.asdict(measured)
    row["sound_sha256"] = properties.pop("sha256")
    for name, value in properties.items():
        row[name] = round(value, 6) if isinstance(value, float) and name != "duration" else value
    row["samples"], landmarks = consumer.finish()
    return landmarks


def _row_without_properties(manifest_row: dict[str, str]) -> dict[str, Any]:
    """Return a row of `RECORDINGS` that holds only the values of the batch manifest."""
    row: dict[str, Any] = {f.name: "" if pa.types.is_string(f.type) else 0 for f in RECORDINGS}
    row |= {name: manifest_row[name] for name in ("recording", "species", "location", "start", "end")}
    row["status"] = "unusable"
    content = manifest_row["content"]
    row["file_sha256"] = content.removeprefix("sha256:") if content.startswith("sha256:") else ""
    return row


class _SampleConsumer:
    """Consumer of one decode attempt: writes the samples at the sampling rate of the features, and finds the landmarks.

    A new one truncates `pcm`, which may hold the samples of an earlier attempt.
    """

    def __init__(self, sample_rate: int, settings: RecordingsStageSettings, pcm: BinaryIO) -> None:
        pcm.seek(0)
        pcm.truncate()
        self._pcm, self._samples = pcm, 0
        self._resampler = Resampler(sample_rate, settings.sample_rate)
        # Resampled once if the features and the landmarks have the same sampling rate.
        self._same_rate = settings.sample_rate == SAMPLE_RATE
        landmark_input_rate = SAMPLE_RATE if self._same_rate else sample_rate
        self._landmarks = Landmarks(landmark_input_rate) if settings.near_duplicates else None

    def add(self, mono: NDArray[np.float32]) -> None:
        """Process the next mono samples, shape (n,)."""
        resampled = self._resampler.add(mono)
        self._write(resampled)
        if self._landmarks:
            self._landmarks.add(resampled if self._same_rate else mono)

    def finish(self) -> tuple[int, LandmarkArrays]:
        """Process the end of the recording; return the number of samples written, and the landmarks."""
        remaining = self._resampler.finish()
        self._write(remaining)
        if not self._landmarks:
            return self._samples, NO_LANDMARKS
        if self._same_rate:
            self._landmarks.add(remaining)
        return self._samples, self._landmarks.finish()

    def _write(self, samples: NDArray[np.float32]) -> None:
        self._pcm.write(to_int16(samples).astype("<i2", copy=False).data)
        self._samples += len(samples)


def _rejection_reason(row: dict[str, Any], settings: RecordingsStageSettings) -> str:
    """Return why a decoded recording is not used, "" if it is used."""
    duration, decoded_share = row["duration"], row["decoded_share"]
    if row["peak"] <= settings.min_peak:
        return f"silent: no sample is above {settings.min_peak:g} of full scale (corpus.min_peak)"
    if decoded_share < settings.min_decoded_share:
        share = rounded_beside(100 * decoded_share, 100 * settings.min_decoded_share, 0)
        return (
            f"truncated: {duration:.1f} s could be decoded, {share}% of the length that its header declares, less "
            f"than corpus.min_decoded_share, {100 * settings.min_decoded_share:g}%"
        )
    if duration < settings.min_duration:
        length = rounded_beside(duration, settings.min_duration, 2)
        return f"{length} s is shorter than corpus.min_duration, {settings.min_duration:g} s"
    return ""


def examine_batch(
    jobs: Sequence[RecordingJob], pcm: Path, landmarks: LandmarkFile, workers: int
) -> list[dict[str, Any]]:
    """Return the rows of `RECORDINGS` of a batch, in the order of `jobs`.

    Writes the samples of all usable recordings to `pcm` in the same order, and adds their landmarks to `landmarks`,
    numbered by position in `jobs`.
    """
    rows: list[dict[str, Any]] = [{}] * len(jobs)
    with RecordingProgress("recordings", len(jobs)) as speed, NpyWriter(pcm, "<i2") as pcm_writer:
        for number, result in process_batch(examine, jobs, workers, pcm_writer):
            if isinstance(result, Crash):
                reason = f"the decoder crashed on this file ({result.signal}); save the file again with another program"
                rows[number] = _row_without_properties(jobs[number].row) | {"reason": reason}
            else:
                rows[number], recording_landmarks = result
                landmarks.add(number, recording_landmarks)
            speed(rows[number]["duration"], unusable=rows[number]["status"] != "ok")
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--root", type=RecordingRoots.parse, nargs="?", help="folders of the recordings that no tar holds")
    p.add_argument("--audio", type=Path, nargs="*", help="tar archives of the batch")
    p.add_argument("--fetched", type=Path, nargs="?", help="table of the batch's downloads and their problems")
    p.add_argument("--threads", type=int, default=1, help="number of processes that decode")
    p.add_argument("--recordings", type=Path, required=True)
    p.add_argument("--landmarks", type=Path, required=True)
    p.add_argument("--pcm", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(RecordingsStageSettings, args.settings)
    with stage("recordings", args, [args.recordings, args.landmarks, args.pcm]):
        manifest = read_rows(args.manifest)
        download_problems = {r["recording"]: r["problem"] for r in read_rows(args.fetched)} if args.fetched else {}
        audio_of_each = audio_sources([RecordingLocation.from_row(row) for row in manifest], args.root, args.audio)
        with scratch(args.pcm) as folder, atomic(args.pcm) as temporary_pcm:
            jobs = [
                RecordingJob(row, audio, download_problems.get(row["recording"], ""), folder / f"{n}.pcm", settings)
                for n, (row, audio) in enumerate(zip(manifest, audio_of_each, strict=True))
            ]
            landmarks = LandmarkFile(folder / "landmarks")
            rows = examine_batch(jobs, temporary_pcm, landmarks, args.threads)
            with atomic(args.landmarks) as temporary_landmarks:
                landmarks.write(temporary_landmarks)
        write_arrow(args.recordings, pa.Table.from_pylist(rows, schema=RECORDINGS))
        for row in rows:
            if row["reason"] or row["note"]:
                log.warning("%s: %s", row["recording"], row["reason"] or row["note"])


if __name__ == "__main__":
    run(main)
