"""Stage `recordings`: decode every recording of one batch once; keep its sound, and say what it is or why it is unusable."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.access import Place, Sound, opened, size_of, sounds_of
from autobird.audio.batch import work_through
from autobird.audio.decode import Resampler, TooLong, UnusableAudio, probe, to_int16
from autobird.audio.headers import read_header
from autobird.audio.landmarks import NOTHING, SAMPLE_RATE, Found, LandmarkFile, Landmarks
from autobird.audio.npy import NpyWriter
from autobird.core.columns import write_arrow
from autobird.core.files import atomic, read_rows, scratch
from autobird.core.stage import Speed, log, parser, run, settings_of, stage
from autobird.core.workers import Crash
from autobird.corpus.schemas import RECORDINGS
from autobird.corpus.settings import RecordingsStageSettings


class Task(NamedTuple):
    """A recording to examine.

    Attributes:
        row: of the batch's table.
        sound: where its bytes are, None if they did not come.
        missing: why they did not come, if anybody knows.
        part: the file that takes its mono samples, int16 at the features' rate; there is none if it is unusable.
        settings: what a recording must fulfil.
    """

    row: dict[str, str]
    sound: Sound | None
    missing: str
    part: Path
    settings: RecordingsStageSettings

    @property
    def size(self) -> int:
        """Bytes of its file: see `batch.Task`."""
        return size_of(self.sound)


def examine(task: Task) -> tuple[dict[str, Any], Found]:
    """One row of `RECORDINGS`, and the landmarks of a usable recording; nothing that is wrong with one raises."""
    facts, landmarks = _unknown(task.row), NOTHING
    if task.row["problem"]:
        return facts | {"reason": task.row["problem"]}, landmarks
    if task.sound is None:
        return facts | {"reason": task.missing or "missing from the batch's archive"}, landmarks
    try:
        with opened(task.sound) as audio, task.part.open("wb") as pcm:
            if not isinstance(audio, Path):
                facts["file_sha256"] = hashlib.file_digest(audio, "sha256").hexdigest()  # type: ignore[arg-type]
            facts |= read_header(audio)._asdict()
            landmarks = _listen(audio, task, pcm, facts)
        facts["reason"] = _unfit(facts, task.settings)
    except TooLong as error:
        facts["reason"] = f"{error}; cut it or raise corpus.max_duration"
    except UnusableAudio as error:
        facts["reason"] = str(error)
    if facts["reason"]:
        task.part.unlink(missing_ok=True)
        return facts | {"samples": 0}, NOTHING
    return facts | {"status": "ok"}, landmarks


def _listen(audio: Path | BinaryIO, task: Task, pcm: BinaryIO, facts: dict[str, Any]) -> Found:
    """Decode a recording into `pcm` and fill in its `facts`; its landmarks."""
    ears: list[_Ear] = []

    def listener(sample_rate: int) -> _Ear:
        ears[:] = [_Ear(sample_rate, task.settings, pcm)]
        return ears[0]

    measured = dataclasses.asdict(probe(audio, task.settings.max_duration, Place.of(task.row).span, listener))
    facts["sound_sha256"] = measured.pop("sha256")
    facts |= {name: round(v, 6) if isinstance(v, float) and name != "duration" else v for name, v in measured.items()}
    facts["samples"], landmarks = ears[0].finish()
    return landmarks


def _unknown(row: dict[str, str]) -> dict[str, Any]:
    """A row of `RECORDINGS` of which nothing is known but what its source says."""
    out: dict[str, Any] = {f.name: "" if pa.types.is_string(f.type) else 0 for f in RECORDINGS}
    out |= {name: row[name] for name in ("recording", "species", "location", "start", "end")} | {"status": "unusable"}
    out["file_sha256"] = row["content"].removeprefix("sha256:") if row["content"].startswith("sha256:") else ""
    return out


class _Ear:
    """What a recording leaves while it is decoded: its sound at the features' rate, and its landmarks."""

    def __init__(self, sample_rate: int, settings: RecordingsStageSettings, pcm: BinaryIO) -> None:
        pcm.seek(0)
        pcm.truncate()
        self._pcm, self._samples = pcm, 0
        self._resampler = Resampler(sample_rate, settings.sample_rate)
        self._shared = settings.sample_rate == SAMPLE_RATE
        rate = SAMPLE_RATE if self._shared else sample_rate
        self._landmarks = Landmarks(rate) if settings.near_duplicates else None

    def add(self, mono: NDArray[np.float32]) -> None:
        """See `Listener`."""
        resampled = self._resampler.add(mono)
        self._keep(resampled)
        if self._landmarks:
            self._landmarks.add(resampled if self._shared else mono)

    def finish(self) -> tuple[int, Found]:
        """The number of samples, and the landmarks."""
        rest = self._resampler.finish()
        self._keep(rest)
        if not self._landmarks:
            return self._samples, NOTHING
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
            f"truncated: {duration:.1f} s are {share:.0%} of what its header promises, less than "
            f"corpus.min_decoded_share, {settings.min_decoded_share:.0%}"
        )
    if duration < settings.min_duration:
        return f"{duration:.2f} s is shorter than corpus.min_duration, {settings.min_duration:g} s"
    return ""


def examine_batch(tasks: Sequence[Task], pcm: Path, landmarks: LandmarkFile, workers: int) -> list[dict[str, Any]]:
    """The rows of a batch, in the order of `tasks`; the sound of all of them goes to `pcm`, and their landmarks."""
    found: list[dict[str, Any]] = [{}] * len(tasks)
    with Speed("recordings", len(tasks)) as speed, NpyWriter(pcm, "<i2") as out:
        for number, result in work_through(examine, tasks, workers, out):
            if isinstance(result, Crash):
                reason = f"decoding it ended the decoder's process ({result.signal}); save it anew with another program"
                found[number] = _unknown(tasks[number].row) | {"reason": reason}
            else:
                found[number], heard = result
                landmarks.add(number, heard)
            speed(found[number]["duration"], quarantined=found[number]["status"] != "ok")
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
        sounds = sounds_of([Place.of(row) for row in rows], args.root, args.audio)
        with scratch(args.pcm) as folder, atomic(args.pcm) as temporary:
            tasks = [
                Task(row, sound, missing.get(row["recording"], ""), folder / f"{n}.pcm", settings)
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
