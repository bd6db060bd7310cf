"""Stage `recordings`: decode every recording of one batch once; keep its sound, and say what it is or why it is unusable."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.access import AudioSource, RecordingLocation, audio_sources, open_source, source_size
from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.audio.batch import process_batch
from autobird.audio.decode import decode_into
from autobird.audio.headers import read_header
from autobird.audio.landmarks import NO_LANDMARKS, SAMPLE_RATE, LandmarkArrays, LandmarkFile, Landmarks
from autobird.audio.npy import NpyWriter
from autobird.audio.resample import Resampler, to_int16
from autobird.core.columns import write_arrow
from autobird.core.files import atomic, read_rows, scratch
from autobird.core.progress import RecordingProgress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.workers import Crash
from autobird.corpus.schemas import RECORDINGS
from autobird.corpus.settings import RecordingsStageSettings


class RecordingJob(NamedTuple):
    """A recording to examine.

    Attributes:
        row: of the batch's table.
        sound: where its bytes are, None if they did not come.
        missing: why they did not come, if anybody knows.
        part: the file that takes its mono samples, int16 at the features' rate; there is none if it is unusable.
        settings: what a recording must fulfil.
    """

    row: dict[str, str]
    sound: AudioSource | None
    missing: str
    part: Path
    settings: RecordingsStageSettings

    @property
    def size(self) -> int:
        """Bytes of its file: see `batch.BatchJob`."""
        return source_size(self.sound)


def examine(task: RecordingJob) -> tuple[dict[str, Any], LandmarkArrays]:
    """One row of `RECORDINGS`, and the landmarks of a usable recording; nothing that is wrong with one raises."""
    facts, landmarks = _unknown(task.row), NO_LANDMARKS
    if task.row["problem"]:
        return facts | {"reason": task.row["problem"]}, landmarks
    if task.sound is None:
        return facts | {"reason": task.missing or "missing from the batch's archive"}, landmarks
    try:
        with open_source(task.sound) as audio, task.part.open("wb") as pcm:
            if not isinstance(audio, Path):
                facts["file_sha256"] = hashlib.file_digest(audio, "sha256").hexdigest()  # type: ignore[arg-type]
            facts |= read_header(audio)._asdict()
            landmarks = _decode(audio, task, pcm, facts)
        facts["reason"] = _unfit(facts, task.settings)
    except TooLong as error:
        facts["reason"] = f"{error}; cut it or raise corpus.max_duration"
    except UnusableAudio as error:
        facts["reason"] = str(error)
    if facts["reason"]:
        task.part.unlink(missing_ok=True)
        return facts | {"samples": 0}, NO_LANDMARKS
    return facts | {"status": "ok"}, landmarks


def _decode(audio: Path | BinaryIO, task: RecordingJob, pcm: BinaryIO, facts: dict[str, Any]) -> LandmarkArrays:
    """Decode a recording into `pcm` and fill in its `facts`; return its landmarks."""
    properties, consumer = decode_into(
        audio,
        lambda sample_rate: _PcmAndLandmarks(sample_rate, task.settings, pcm),
        task.settings.max_duration,
        RecordingLocation.from_row(task.row).span,
    )
    measured = dataclasses.asdict(properties)
    facts["sound_sha256"] = measured.pop("sha256")
    facts |= {name: round(v, 6) if isinstance(v, float) and name != "duration" else v for name, v in measured.items()}
    facts["samples"], landmarks = consumer.finish()
    return landmarks


def _unknown(row: dict[str, str]) -> dict[str, Any]:
    """A row of `RECORDINGS` of which nothing is known but what its source says."""
    out: dict[str, Any] = {f.name: "" if pa.types.is_string(f.type) else 0 for f in RECORDINGS}
    out |= {name: row[name] for name in ("recording", "species", "location", "start", "end")} | {"status": "unusable"}
    out["file_sha256"] = row["content"].removeprefix("sha256:") if row["content"].startswith("sha256:") else ""
    return out


class _PcmAndLandmarks:
    """Consumer of one decode attempt: writes the samples at the features' rate, and finds the landmarks.

    A new one truncates `pcm`, which may hold the samples of an earlier attempt.
    """

    def __init__(self, sample_rate: int, settings: RecordingsStageSettings, pcm: BinaryIO) -> None:
        pcm.seek(0)
        pcm.truncate()
        self._pcm, self._samples = pcm, 0
        self._resampler = Resampler(sample_rate, settings.sample_rate)
        self._shared = settings.sample_rate == SAMPLE_RATE
        rate = SAMPLE_RATE if self._shared else sample_rate
        self._landmarks = Landmarks(rate) if settings.near_duplicates else None

    def add(self, mono: NDArray[np.float32]) -> None:
        """See `SampleConsumer`."""
        resampled = self._resampler.add(mono)
        self._keep(resampled)
        if self._landmarks:
            self._landmarks.add(resampled if self._shared else mono)

    def finish(self) -> tuple[int, LandmarkArrays]:
        """Return the number of samples, and the landmarks."""
        rest = self._resampler.finish()
        self._keep(rest)
        if not self._landmarks:
            return self._samples, NO_LANDMARKS
        if self._shared:
            self._landmarks.add(rest)
        return self._samples, self._landmarks.finish()

    def _keep(self, samples: NDArray[np.float32]) -> None:
        self._pcm.write(to_int16(samples).astype("<i2", copy=False).data)
        self._samples += len(samples)


def _unfit(found: dict[str, Any], settings: RecordingsStageSettings) -> str:
    """Why a recording that was decoded is not used, or ""."""
    duration, share = found["duration"], found["decoded_share"]
    if found["peak"] <= settings.min_peak:
        return f"silent: no sample is above {settings.min_peak:g} of full scale (corpus.min_peak)"
    if share < settings.min_decoded_share:
        return (
            f"truncated: {duration:.1f} s are {share:.0%} of the length that its header declares, less than "
            f"corpus.min_decoded_share, {settings.min_decoded_share:.0%}"
        )
    if duration < settings.min_duration:
        return f"{duration:.2f} s is shorter than corpus.min_duration, {settings.min_duration:g} s"
    return ""


def examine_batch(
    tasks: Sequence[RecordingJob], pcm: Path, landmarks: LandmarkFile, workers: int
) -> list[dict[str, Any]]:
    """The rows of a batch, in the order of `tasks`; the sound of all of them goes to `pcm`, and their landmarks."""
    found: list[dict[str, Any]] = [{}] * len(tasks)
    with RecordingProgress("recordings", len(tasks)) as progress, NpyWriter(pcm, "<i2") as out:
        for number, result in process_batch(examine, tasks, workers, out):
            if isinstance(result, Crash):
                reason = (
                    f"decoding it ended the decoder's process ({result.signal}); save it again with another program"
                )
                found[number] = _unknown(tasks[number].row) | {"reason": reason}
            else:
                found[number], heard = result
                landmarks.add(number, heard)
            progress(found[number]["duration"], unusable=found[number]["status"] != "ok")
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--root", type=Path, nargs="?", help="folder of a local corpus, read where --audio is empty")
    p.add_argument("--audio", type=Path, nargs="?", help="tar of the batch")
    p.add_argument("--fetched", type=Path, nargs="?", help="what the download brought, and what it did not")
    p.add_argument("--threads", type=int, default=1, help="processes that decode")
    p.add_argument("--recordings", type=Path, required=True)
    p.add_argument("--landmarks", type=Path, required=True)
    p.add_argument("--pcm", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(RecordingsStageSettings, args.settings)
    with stage("recordings", args, [args.recordings, args.landmarks, args.pcm]):
        rows = read_rows(args.manifest)
        missing = {r["recording"]: r["problem"] for r in read_rows(args.fetched)} if args.fetched else {}
        sounds = audio_sources([RecordingLocation.from_row(row) for row in rows], args.root, args.audio)
        with scratch(args.pcm) as folder, atomic(args.pcm) as temporary:
            tasks = [
                RecordingJob(row, sound, missing.get(row["recording"], ""), folder / f"{n}.pcm", settings)
                for n, (row, sound) in enumerate(zip(rows, sounds, strict=True))
            ]
            landmarks = LandmarkFile(folder / "landmarks")
            found = examine_batch(tasks, temporary, landmarks, args.threads)
            with atomic(args.landmarks) as sorted_landmarks:
                landmarks.write(sorted_landmarks)
        write_arrow(args.recordings, pa.Table.from_pylist(found, schema=RECORDINGS))
        for row in found:
            if row["reason"] or row["note"]:
                log.warning("%s: %s", row["recording"], row["reason"] or row["note"])


if __name__ == "__main__":
    run(main)
