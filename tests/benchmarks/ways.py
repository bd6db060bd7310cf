"""Ways from files to mel windows: this project's, the original project's, librosa's, and what none can do without."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from autobird.audio import mel_shards
from autobird.audio.decode import StreamedFile, decode
from autobird.audio.landmarks import LandmarkFile
from autobird.audio.mel import FrontEnd, window_moments
from autobird.audio.npy import NpyWriter
from autobird.audio.segment import segment
from autobird.audio.settings import FilterSettings, MelSettings, WindowSettings
from autobird.audio.windows import window_rms, window_starts
from autobird.corpus import recordings
from autobird.corpus.settings import RecordingsStageSettings
from autobird.model.audio_transforms import functional
from autobird.sources.listing import ROWS

MEL, FILTER = MelSettings(), FilterSettings()


def decoded_blocks(path: Path) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The sampling rate of a file and a block of its samples, over and over."""
    with StreamedFile(path) as file:
        buffer = np.empty((1 << 16, file.channels), np.float32)
        while len(block := file.read(out=buffer)):
            yield file.samplerate, block


def decoding(files: Sequence[Path], _: Path) -> None:
    """(a) Decode every file and throw the sound away."""
    for path in files:
        for _block in decoded_blocks(path):
            pass


def decoding_and_resampling(files: Sequence[Path], _: Path) -> None:
    """(a+) Decode, take the mean of the channels, resample."""
    for path in files:
        resampler = None
        for rate, block in decoded_blocks(path):
            resampler = resampler or soxr.ResampleStream(rate, MEL.sample_rate, 1, dtype="float32", quality="HQ")
            mono = block[:, 0] if block.shape[1] == 1 else (block[:, 0] + block[:, 1]) * np.float32(0.5)
            resampler.resample_chunk(mono)


def original(files: Sequence[Path], out: Path) -> None:
    """(b) As the original project does: whole files, torchaudio's resampler, each window's transform built anew."""
    for number, path in enumerate(files):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        x = torch.from_numpy(samples).mean(dim=1)
        if rate != MEL.sample_rate:
            x = functional.resample(x, rate, MEL.sample_rate)
        kept = []
        for start in window_starts(len(x), MEL.window_samples, MEL.hop_samples):
            part = x[start : start + MEL.window_samples]
            if len(part) < MEL.window_samples:
                part = torch.nn.functional.pad(part, (0, MEL.window_samples - len(part)))
            if torch.sqrt(torch.mean(part**2)) < FILTER.min_rms:
                continue
            bank = functional.melscale_fbanks(
                MEL.n_fft // 2 + 1, MEL.fmin, MEL.fmax, MEL.mels, MEL.sample_rate, norm=None, mel_scale="htk"
            )
            spectrum = functional.spectrogram(
                part, pad=0, window=torch.hann_window(MEL.n_fft), n_fft=MEL.n_fft, hop_length=MEL.hop_length,
                win_length=MEL.n_fft, power=2.0, normalized=False,
            )  # fmt: skip
            mel = torch.log(torch.matmul(spectrum.transpose(-1, -2), bank).transpose(-1, -2) + 1e-6)
            if mel.std() >= FILTER.min_mel_std:
                kept.append(mel)
        if kept:
            np.save(out / f"{number}.npy", torch.stack(kept).numpy())


def with_librosa(files: Sequence[Path], out: Path) -> None:
    """(c) librosa: load (soundfile and soxr), and its mel spectrogram of each window."""
    librosa = importlib.import_module("librosa")
    for number, path in enumerate(files):
        x, _ = librosa.load(path, sr=MEL.sample_rate, mono=True)
        kept = []
        for start in window_starts(len(x), MEL.window_samples, MEL.hop_samples):
            part = librosa.util.fix_length(x[start : start + MEL.window_samples], size=MEL.window_samples)
            if np.sqrt(np.mean(part**2)) < FILTER.min_rms:
                continue
            mel = librosa.feature.melspectrogram(
                y=part, sr=MEL.sample_rate, n_fft=MEL.n_fft, hop_length=MEL.hop_length, n_mels=MEL.mels,
                fmin=MEL.fmin, fmax=MEL.fmax, htk=True, norm=None,
            )  # fmt: skip
            mel = np.log(mel + 1e-6)
            if mel.std() >= FILTER.min_mel_std:
                kept.append(mel)
        if kept:
            np.save(out / f"{number}.npy", np.stack(kept))


def stages(files: Sequence[Path], out: Path, workers: int = 0, near_duplicates: bool = False) -> None:
    """(d) What the stages `recordings`, `segment` and `mel_shards` do with a batch.

    Args:
        files: the batch.
        out: an empty folder.
        workers: processes; 0 does everything in this one, so that its time can be told.
        near_duplicates: also look for landmarks.
    """
    settings = RecordingsStageSettings(near_duplicates=near_duplicates)
    rows = [dict.fromkeys(ROWS, "") | {"recording": str(n), "species": "x"} for n in range(len(files))]
    tasks = [
        recordings.RecordingJob(row, path, "", out / f"{n}.pcm", settings)
        for n, (row, path) in enumerate(zip(rows, files, strict=True))
    ]
    patched = recordings.work_through, mel_shards.work_through
    if not workers:
        recordings.work_through = mel_shards.work_through = _here  # type: ignore[assignment]
    try:
        heard = LandmarkFile(out / "landmarks")
        found = recordings.examine_batch(tasks, out / "pcm.npy", heard, workers)
        heard.write(out / "landmarks.npy")
        samples = np.array([f["samples"] for f in found], np.int64)
        table = segment([r["recording"] for r in rows], samples, out / "pcm.npy", WindowSettings())
        offsets = np.cumsum(samples) - samples
        shard_tasks = [
            mel_shards.Task(out / "pcm.npy", int(o), int(n), out / f"{i}.f16", MEL)
            for i, (o, n) in enumerate(zip(offsets, samples, strict=True))
            if n
        ]
        windows = mel_shards.mel_shard(shard_tasks, out / "mels.npy", MEL, workers)
    finally:
        recordings.work_through, mel_shards.work_through = patched
    std = np.concatenate([w.std for w in windows])
    assert len(std) == len(table["rms"])
    _ = (table["rms"] >= FILTER.min_rms) & (std >= FILTER.min_mel_std)


def chain(files: Sequence[Path], out: Path) -> None:
    """(d) without what `recordings` finds out beside: sound to PCM, windows, frames, shard; no hash, no measures."""
    front_end = FrontEnd.of(MEL)
    with NpyWriter(out / "pcm.npy", "<i2") as pcm, NpyWriter(out / "mels.npy", "<f2", (MEL.mels,)) as shard:
        for path in files:
            samples = decode(path, MEL.sample_rate)
            pcm.append(samples)
            starts = window_starts(len(samples), MEL.window_samples, MEL.hop_samples)
            rms = window_rms(samples, starts, MEL.window_samples)
            frames, firsts = front_end.windows(samples)
            stored = frames.astype(np.float16)
            shard.append(stored)
            _, std = window_moments(stored, firsts, front_end.frames_per_window)
            _ = (rms >= FILTER.min_rms) & (std >= FILTER.min_mel_std)


def _here(function, tasks, workers, out):  # type: ignore[no-untyped-def]
    """`work_through` without processes."""
    for number, task in enumerate(tasks):
        result = function(task)
        if task.part.exists():
            out.extend(task.part)
            task.part.unlink()
        yield number, result
