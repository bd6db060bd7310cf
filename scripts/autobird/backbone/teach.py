"""Stage `teach`: make training sounds from the recordings of one batch, and compute the teacher's embeddings of them.

Which recordings a run trains on is not known here: the files are shared by all runs and all folds of a cross-validation, and the
training takes the sounds whose recordings are all in its training split.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.access import AudioSource, RecordingLocation, RecordingRoots, audio_sources, open_source
from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.audio.batch import process_batch
from autobird.audio.decode import decode
from autobird.audio.mel import FrontEnd
from autobird.audio.npy import NpyWriter
from autobird.audio.resample import Resampler, to_int16
from autobird.audio.settings import MelSettings
from autobird.backbone.embed import backbone_info, load_cached
from autobird.backbone.known import BackboneKey
from autobird.backbone.stream import WindowGrid
from autobird.backbone.training_sounds import Plan, make_sound, plan_sounds
from autobird.core.columns import read_columns, write_columns
from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, read_rows, scratch
from autobird.core.progress import Progress
from autobird.core.settings import Settings
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.workers import Crash, run_each

TRAINING_SOUNDS = pa.schema([("recording", pa.string()), ("partner", pa.string())])
"""One row per training sound, in the order of the arrays: the recordings that it is made of; `partner` is "" for one recording."""

_TOTAL_SECONDS = 7200.0
"""Seconds of sound of a batch that training sounds are made of, at most (700 MB of temporary files at 48 kHz)."""

_MIN_SECONDS, _MAX_RECORDINGS = 30.0, 240
"""Of each recording at least these seconds from its start are used, so of a batch at most this number of recordings."""

_SOUNDS_PER_JOB = 16
"""Training sounds that a process makes at a time; the arrays do not depend on it."""


class TeachSettings(Settings):
    """Settings of stage `teach`: how many training sounds a batch gives, and the seed of their random numbers."""

    sounds: int
    seed: int = 0


class DecodeJob(NamedTuple):
    """Decode the start of a recording to a temporary file of int16 samples."""

    location: RecordingLocation
    audio: AudioSource
    seconds: float
    sample_rate: int
    part: Path


class SoundsJob(NamedTuple):
    """Make some training sounds, and compute their mel frames and embeddings.

    Attributes:
        plans: the sounds.
        parts: temporary file of the samples of each recording.
        backbone: which backbone.
        file: its file, if it is not found without it.
        front_end: mel settings.
        part: temporary file for the embeddings, float16.
        mels: temporary file for the mel frames, float16.
    """

    plans: list[Plan]
    parts: list[Path]
    backbone: BackboneKey
    file: str | None
    front_end: MelSettings
    part: Path
    mels: Path

    @property
    def size(self) -> int:
        """See `BatchJob`."""
        return len(self.plans)


def decode_start(job: DecodeJob) -> str:
    """Write the samples of the start of a recording to `job.part`; return why it cannot be read, "" if it can be."""
    start, end = job.location.span
    try:
        with open_source(job.audio) as audio:
            samples = decode(audio, job.sample_rate, job.seconds + 1, (start, min(end, start + job.seconds)))
    except (TooLong, UnusableAudio, OSError) as error:
        return str(error)
    if not samples.any():
        return "it is silent"
    job.part.write_bytes(samples.astype("<i2", copy=False).data)
    return ""


@cache
def _front_end(settings: MelSettings) -> FrontEnd:
    return FrontEnd.of(settings)


def mel_window(sound: NDArray[np.float32], rate: int, settings: MelSettings) -> NDArray[np.float16]:
    """Return the mel frames of a sound that is one window long, at the sampling rate `rate`; shape (frames, mels)."""
    resampler = Resampler(rate, settings.sample_rate)
    samples = np.zeros(settings.window_samples, np.int16)
    found = to_int16(np.concatenate([resampler.add(sound), resampler.finish()]))[: len(samples)]
    samples[: len(found)] = found
    front_end = _front_end(settings)
    frames, _ = front_end.windows(samples)
    return frames[: front_end.frames_per_window].astype(np.float16)


def make_sounds(job: SoundsJob) -> int:
    """Write mel frames and embeddings of some training sounds to the files of the job; return how many.

    Raises:
        AutobirdError: an embedding is not finite, or too large for float16.
    """
    backbone = load_cached(job.backbone, job.file)
    grid, rate, length = (
        WindowGrid(job.front_end, backbone.info),
        backbone.info.sample_rate,
        backbone.info.window_samples,
    )
    inputs, mels = np.zeros((len(job.plans), len(grid.offsets), length), np.float32), []
    for plan, windows in zip(job.plans, inputs, strict=True):
        sound = make_sound(plan, lambda n: np.memmap(job.parts[n], "<i2", "r"), grid.length)
        mels.append(mel_window(sound, rate, job.front_end))
        for offset, window in zip(grid.offsets, windows, strict=True):
            window[: grid.taken] = sound[offset : offset + grid.taken]
    found = backbone.embed(inputs.reshape(-1, length)).reshape(len(job.plans), len(grid.offsets), -1).mean(axis=1)
    with np.errstate(over="ignore"):
        embeddings = found.astype("<f2")
    if not np.isfinite(embeddings).all():
        raise AutobirdError(
            f"backbone {backbone.info.name}: a value of its embeddings is not finite, or above 65504, the largest value of float16; "
            "check backbone.output, backbone.sample_rate and backbone.peak"
        )
    job.mels.write_bytes(np.concatenate(mels).astype("<f2", copy=False).data)
    job.part.write_bytes(embeddings.data)
    return len(job.plans)


def batch_seed(names: Sequence[str], seed: int) -> int:
    """Return the seed of a batch: a stable hash of the names of its recordings, so that batches differ."""
    digest = hashlib.sha256("\n".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def usable_locations(recordings: Path | None, manifest: Path | None) -> list[RecordingLocation]:
    """Return the recordings of a batch.

    Args:
        recordings: table of the stage `recordings`; those that cannot be used are left out.
        manifest: manifest of unlabelled recordings; read if there is no table.
    """
    if recordings is not None:
        columns = read_columns(recordings, [*RecordingLocation._fields, "status"])
        return [RecordingLocation(*row) for *row, status in zip(*columns, strict=True) if status == "ok"]
    assert manifest is not None
    return [RecordingLocation(row["recording"]) for row in read_rows(manifest) if row["sha256"]]


def draw_locations(locations: list[RecordingLocation], seed: int) -> list[RecordingLocation]:
    """Return all recordings of a batch, in their order, or a random choice of `_MAX_RECORDINGS` of them if there are more."""
    if len(locations) <= _MAX_RECORDINGS:
        return locations
    rng = np.random.default_rng(batch_seed([location.recording for location in locations], seed))
    chosen = np.sort(rng.choice(len(locations), _MAX_RECORDINGS, replace=False))
    log.info("training sounds are made of %d of %d recordings, drawn at random", _MAX_RECORDINGS, len(locations))
    return [locations[n] for n in chosen]


def decode_batch(
    locations: Sequence[RecordingLocation], sources: Sequence[AudioSource | None], rate: int, workers: int, folder: Path
) -> tuple[list[str], list[Path]]:
    """Decode the starts of recordings into files of int16 samples; return the names and the files of those that can be read.

    What cannot be read is logged and left out.
    """
    seconds = max(_MIN_SECONDS, _TOTAL_SECONDS / max(1, len(locations)))
    jobs = [
        DecodeJob(location, source, seconds, rate, folder / f"{n}.i16")
        for n, (location, source) in enumerate(zip(locations, sources, strict=True))
        if source is not None
    ]
    problems = {name.recording: "it is missing from the archive" for name in locations}
    for n, result in run_each(decode_start, jobs, workers):
        problem = f"the process that decoded it crashed ({result.signal})" if isinstance(result, Crash) else result
        problems[jobs[n].location.recording] = problem
    for name, problem in problems.items():
        if problem:
            log.warning("%s: no training sounds are made of it: %s", name, problem)
    used = [job for job in jobs if not problems[job.location.recording]]
    log.info("%d of %d recordings used", len(used), len(locations))
    return [job.location.recording for job in used], [job.part for job in used]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--front-end", required=True, help="mel settings, as JSON")
    p.add_argument("--backbone", required=True, help="settings of the backbone, as JSON")
    p.add_argument("--file", nargs="?", help="file of the backbone, if it is not found without it")
    p.add_argument("--recordings", type=Path, nargs="?", help="table of the stage `recordings`")
    p.add_argument(
        "--manifest", type=Path, nargs="?", help="manifest of unlabelled recordings; used if --recordings is empty"
    )
    p.add_argument("--root", type=RecordingRoots.parse, nargs="?", help="folders of the recordings that no tar holds")
    p.add_argument("--audio", type=Path, nargs="*", help="tar archives of the batch")
    p.add_argument("--threads", type=int, default=1, help="number of worker processes")
    p.add_argument("--mels", type=Path, required=True, help="array of the mel frames to write")
    p.add_argument("--embeddings", type=Path, required=True, help="array of the embeddings to write")
    p.add_argument("--table", type=Path, required=True, help="table of the training sounds to write")
    args = p.parse_args(argv)
    settings, key = settings_of(TeachSettings, args.settings), settings_of(BackboneKey, args.backbone)
    front_end = settings_of(MelSettings, args.front_end)
    with stage("teach", args, [args.mels, args.embeddings, args.table]):
        locations = draw_locations(usable_locations(args.recordings, args.manifest), settings.seed)
        sources = audio_sources(locations, args.root, args.audio)
        (_, info), *_ = run_each(backbone_info, [(key, args.file or None)], 1)
        if isinstance(info, Crash):
            raise AutobirdError(f"backbone {key.name}: the process that loaded it crashed ({info.signal})")
        with (
            scratch(args.embeddings) as folder,
            atomic(args.mels) as mels,
            atomic(args.embeddings) as embeddings,
            NpyWriter(mels, "<f2", (front_end.mels,)) as mel_out,
            NpyWriter(embeddings, "<f2", (info.width,)) as out,
        ):
            names, parts = decode_batch(locations, sources, info.sample_rate, args.threads, folder)
            lengths = np.array([part.stat().st_size // 2 for part in parts], np.int64)
            rng = np.random.default_rng(batch_seed(names, settings.seed))
            plans = plan_sounds(lengths, settings.sounds, rng) if names else []
            jobs = [
                SoundsJob(
                    plans[at : at + _SOUNDS_PER_JOB], parts, key, args.file or None, front_end, folder / f"{at}.f16",
                    folder / f"{at}.mel",
                )
                for at in range(0, len(plans), _SOUNDS_PER_JOB)
            ]  # fmt: skip
            progress, done = Progress("teach", len(plans), "training sounds"), 0
            for number, result in process_batch(make_sounds, jobs, args.threads, out):
                if isinstance(result, Crash):
                    raise AutobirdError(f"the process that made training sounds crashed ({result.signal}); run again")
                done += jobs[number].size
                progress(done)
            for job in jobs:
                mel_out.append_file(job.mels)
        partners = [names[plan.partner] if plan.partner >= 0 else "" for plan in plans]
        write_columns(
            args.table, {"recording": [names[plan.recording] for plan in plans], "partner": partners}, TRAINING_SOUNDS
        )
        log.info("%d training sounds of %d recordings; %s", len(plans), len(names), info.name)


if __name__ == "__main__":
    run(main)
