"""Methods to get from audio files to mel windows: this project, the original project, librosa, and the minimum of all."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from autobird.audio import mel_shards
from autobird.audio.audio_file import SequentialSoundFile
from autobird.audio.decode import decode
from autobird.audio.landmarks import LandmarkFile
from autobird.audio.mel import FrontEnd, window_mean_std
from autobird.audio.npy import NpyWriter
from autobird.audio.segment import segment
from autobird.audio.settings import FilterSettings, MelSettings, WindowSettings
from autobird.audio.windows import window_rms, window_starts
from autobird.corpus import recordings
from autobird.corpus.settings import RecordingsStageSettings
from autobird.model.audio_transforms import functional
from autobird.sources.listing import MANIFEST_COLUMNS

MEL, FILTER = MelSettings(), FilterSettings()


def decoded_blocks(path: Path) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the sampling rate of a file and a block of its samples until the end of the file."""
    with SequentialSoundFile(path) as file:
        buffer = np.empty((1 << 16, file.channels), np.float32)
        while len(block := file.read(out=buffer)):
            yield file.samplerate, block


def decoding(files: Sequence[Path], _: Path) -> None:
    """(a) Decode every file and discard the samples."""
    for path in files:
        for _block in decoded_blocks(path):
            pass


def decoding_and_resampling(files: Sequence[Path], _: Path) -> None:
    """(a+) Decode, average the channels, resample."""
    for path in files:
        resampler = None
        for rate, block in decoded_blocks(path):
            resampler = resampler or soxr.ResampleStream(rate, MEL.sample_rate, 1, dtype="float32", quality="HQ")
            mono = block[:, 0] if block.shape[1] == 1 else (block[:, 0] + block[:, 1]) * np.float32(0.5)
            resampler.resample_chunk(mono)


def original_project(files: Sequence[Path], out: Path) -> None:
    """(b) The original project: whole files, torchaudio's resampler, and a new filter bank for each window."""
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
    """(c) librosa: `load` (soundfile and soxr), and `melspectrogram` of each window."""
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
    """(d) The stages `recordings`, `segment` and `mel_shards` on one batch.

    Args:
        files: the batch.
        out: an empty folder.
        workers: number of processes; 0 runs everything in this process, so that its CPU time can be measured.
        near_duplicates: whether to find landmarks.
    """
    settings = RecordingsStageSettings(near_duplicates=near_duplicates)
    rows = [dict.fromkeys(MANIFEST_COLUMNS, "") | {"recording": str(n), "species": "x"} for n in range(len(files))]
    jobs = [
        recordings.RecordingJob(row, path, "", out / f"{n}.pcm", settings)
        for n, (row, path) in enumerate(zip(rows, files, strict=True))
    ]
    patched = recordings.process_batch, mel_shards.process_batch
    if not workers:
        recordings.process_batch = mel_shards.process_batch = _in_this_process  # type: ignore[assignment]
    try:
        landmarks = LandmarkFile(out / "landmarks")
        found = recordings.examine_batch(jobs, out / "pcm.npy", landmarks, workers)
        landmarks.write(out / "landmarks.npy")
        samples = np.array([f["samples"] for f in found], np.int64)
        table = segment([r["recording"] for r in rows], samples, out / "pcm.npy", WindowSettings())
        offsets = np.cumsum(samples) - samples
        mel_jobs = [
            mel_shards.MelJob(out / "pcm.npy", int(o), int(n), out / f"{i}.f16", MEL)
            for i, (o, n) in enumerate(zip(offsets, samples, strict=True))
            if n
        ]
        windows = mel_shards.write_mel_shard(mel_jobs, out / "mels.npy", MEL, workers)
    finally:
        recordings.process_batch, mel_shards.process_batch = patched
    std = np.concatenate([w.std for w in windows])
    assert len(std) == len(table["rms"])
    _ = (table["rms"] >= FILTER.min_rms) & (std >= FILTER.min_mel_std)


def samples_to_shard(files: Sequence[Path], out: Path) -> None:
    """(d) without hash and statistics: decode to PCM, cut into windows, compute frames, write the shard."""
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
            _, std = window_mean_std(stored, firsts, front_end.frames_per_window)
            _ = (rms >= FILTER.min_rms) & (std >= FILTER.min_mel_std)


def _in_this_process(function, jobs, workers, out):  # type: ignore[no-untyped-def]
    """`process_batch` without worker processes."""
    for number, job in enumerate(jobs):
        result = function(job)
        if job.part.exists():
            out.append_file(job.part)
            job.part.unlink()
        yield number, result
