"""Speed of libraries for decoding, resampling and Fourier transforms; those that are not installed are skipped.

pip install miniaudio av ducc0 pyfftw samplerate librosa torchcodec
"""

import importlib
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import soundfile
import soxr
import torch
from threadpoolctl import threadpool_limits

from autobird.audio.audio_file import SequentialSoundFile
from autobird.model.audio_transforms import functional
from tests.benchmarks import report, synthetic

pytestmark = pytest.mark.benchmark

REPEATS = int(os.environ.get("REPEATS", "5"))
PACKAGES = (
    "soundfile",
    "miniaudio",
    "av",
    "torchcodec",
    "soxr",
    "samplerate",
    "numpy",
    "scipy",
    "ducc0",
    "pyfftw",
    "torch",
)


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError):  # torchcodec without FFmpeg's libraries
        return None


def medians(methods: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the speed of each method in multiples of real time, by CPU time; methods alternate in each round."""
    found: dict[str, list[float]] = {name: [] for name in methods}
    for round_ in range(REPEATS + 1):
        for name, method in methods.items():
            start = time.process_time()
            method()
            if round_:
                found[name].append(seconds / max(1e-9, time.process_time() - start))
    return {name: statistics.median(speeds) for name, speeds in found.items()}


def by_soundfile(path: Path) -> None:
    with SequentialSoundFile(path) as file:
        block = np.empty((1 << 16, file.channels), np.float32)
        while len(file.read(out=block)):
            pass


def with_seeks(path: Path) -> None:
    with soundfile.SoundFile(path) as file:
        block = np.empty((1 << 16, file.channels), np.float32)
        while len(file.read(out=block)):
            pass


def by_miniaudio(path: Path) -> None:
    miniaudio = importlib.import_module("miniaudio")
    info = soundfile.info(path)
    stream = miniaudio.stream_file(
        str(path), miniaudio.SampleFormat.FLOAT32, info.channels, info.samplerate, frames_to_read=1 << 16
    )
    for block in stream:
        np.frombuffer(block, np.float32)


def by_av(path: Path) -> None:
    av = importlib.import_module("av")
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.thread_count = 1
        for packet in container.demux(stream):
            for frame in packet.decode():
                frame.to_ndarray()


def by_torchcodec(path: Path) -> None:
    importlib.import_module("torchcodec.decoders").AudioDecoder(str(path)).get_all_samples()


DECODERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "soundfile, no seeks": ("soundfile", by_soundfile),
    "soundfile": ("soundfile", with_seeks),
    "miniaudio": ("miniaudio", by_miniaudio),
    "PyAV": ("av", by_av),
    "torchcodec": ("torchcodec.decoders", by_torchcodec),
}

FILES = [
    (kind, rate, channels, 60)
    for kind in ("mp3", "flac", "ogg", "opus", "wav")
    for rate in (16000, 44100, 48000, 96000)
    for channels in (1, 2)
    if rate <= 48000 or kind in ("flac", "wav")
    if kind != "opus" or rate == 48000
] + [("mp3", 44100, 2, 3), ("mp3", 44100, 2, 3600), ("wav", 48000, 2, 3600)]


def test_decoders(tmp_path: Path) -> None:
    installed = {name: method for name, (module, method) in DECODERS.items() if optional(module)}
    rows, data = [], {"machine": report.machine(*PACKAGES), "x real time": {}}
    for kind, rate, channels, seconds in FILES:
        samples = synthetic.song(min(seconds, 60), rate, channels, 0)
        options = {
            "opus": {"format": "OGG", "subtype": "OPUS"},
            "ogg": {"subtype": "VORBIS"},
            "mp3": synthetic.CONSTANT,
        }.get(kind, {})
        path = synthetic.write(tmp_path / f"{rate}-{channels}-{seconds}.{kind}", samples, rate, **options)
        if seconds > 60 and kind == "mp3":
            path = synthetic.repeated(path, seconds // 60)
        elif seconds > 60:
            path = synthetic.write(path, np.tile(samples, (seconds // 60, 1)), rate)
        methods: dict[str, Callable[[], object]] = {
            name: lambda method=method, path=path: method(path)  # type: ignore[misc]
            for name, method in installed.items()
            if name != "miniaudio" or kind in ("mp3", "flac", "ogg", "wav")
        }
        speeds = medians(methods, seconds)
        name = f"{kind}, {rate / 1000:g} kHz, {'stereo' if channels == 2 else 'mono'}, {seconds} s"
        data["x real time"][name] = speeds
        rows.append([name, *(f"{speeds[n]:,.0f}" if n in speeds else "" for n in installed)])
        path.unlink()
    report.write("decoders", data, ["one core, x real time", *installed], rows)


def stream(quality: str, samples: np.ndarray, rate: int) -> np.ndarray:
    resampler = soxr.ResampleStream(rate, 16000, 1, dtype="float32", quality=quality)
    parts = [resampler.resample_chunk(samples[at : at + (1 << 16)]) for at in range(0, len(samples), 1 << 16)]
    return np.concatenate([*parts, resampler.resample_chunk(np.zeros(0, np.float32), last=True)])


def test_resamplers() -> None:
    """44.1 to 16 kHz: speed, the strongest alias of a tone above 8 kHz, and the level of a tone at 7 kHz."""
    rate, seconds = 44100, 60
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        f"soxr {q}": lambda x, q=q: stream(q, x, rate)  # type: ignore[misc]
        for q in ("HQ", "VHQ", "MQ", "LQ")
    }
    methods["torchaudio, default"] = lambda x: functional.resample(torch.from_numpy(x), rate, 16000).numpy()
    methods["torchaudio, Kaiser, width 64"] = lambda x: functional.resample(
        torch.from_numpy(x), rate, 16000, 64, 0.9475937167399596, "sinc_interp_kaiser", 14.769656459379492
    ).numpy()
    methods["scipy resample_poly"] = lambda x: scipy.signal.resample_poly(x, 160, 441).astype(np.float32)
    if samplerate := optional("samplerate"):
        methods["libsamplerate, medium"] = lambda x: samplerate.resample(x, 16000 / rate, "sinc_medium")
    samples = synthetic.song(seconds, rate, 1, 0)[:, 0]
    t = np.arange(2 * rate) / rate

    def level(resample: Callable[[np.ndarray], np.ndarray], hertz: float) -> float:
        out = resample(np.sin(2 * np.pi * hertz * t).astype(np.float32))[3000:-3000].astype(np.float64)
        return float(10 * np.log10(2 * np.mean(out**2) + 1e-20))

    torch.set_num_threads(1)
    with threadpool_limits(1):
        speeds = medians({n: lambda m=m: m(samples) for n, m in methods.items()}, seconds)  # type: ignore[misc]
        alias = {n: max(level(m, f) for f in np.linspace(8010, 22000, 60)) for n, m in methods.items()}
        passband = {n: level(m, 7000) for n, m in methods.items()}
    data = {"machine": report.machine(*PACKAGES), "x real time": speeds, "alias_dB": alias, "at_7_kHz_dB": passband}
    rows = [[n, f"{speeds[n]:,.0f}", f"{alias[n]:.0f}", f"{passband[n]:.2f}"] for n in methods]
    report.write("resamplers", data, ["44.1 to 16 kHz", "x real time", "strongest alias, dB", "7 kHz, dB"], rows)


def test_transforms() -> None:
    """1,024-point real FFTs of 64 windowed frames at a time, as in the stage `mel_shards`."""
    seconds = 300
    samples = np.random.default_rng(0).standard_normal(seconds * 16000).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::512]
    taper, buffer = np.hanning(1025)[:-1].astype(np.float32), np.empty((64, 1024), np.float32)

    def each(transform: Callable[[np.ndarray], object], size: int = 64) -> Callable[[], None]:
        def run() -> None:
            for at in range(0, len(frames), size):
                part = frames[at : at + size]
                transform(np.multiply(part, taper, out=buffer[: len(part)] if size == 64 else None))

        return run

    methods: dict[str, Callable[[], object]] = {
        "scipy (pocketfft)": each(lambda x: scipy.fft.rfft(x, axis=1)),
        "numpy (pocketfft)": each(lambda x: np.fft.rfft(x, axis=1)),
        "torch (MKL)": each(lambda x: torch.fft.rfft(torch.from_numpy(x))),
        "scipy, 2,048 frames at a time": each(lambda x: scipy.fft.rfft(x, axis=1), 2048),
        "torch.stft, all at once": lambda: torch.stft(
            torch.from_numpy(samples), 1024, 512, window=torch.from_numpy(taper), return_complex=True
        ),
    }
    if ducc := optional("ducc0"):
        methods["ducc0"] = each(lambda x: ducc.fft.r2c(x, axes=(1,), nthreads=1))
    if fftw := optional("pyfftw"):
        source, target = fftw.empty_aligned((64, 1024), "float32"), fftw.empty_aligned((64, 513), "complex64")
        plan = fftw.FFTW(source, target, axes=(1,), threads=1)

        def planned(x: np.ndarray) -> None:
            source[: len(x)] = x
            plan.execute()

        methods["FFTW (pyfftw)"] = each(planned)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        speeds = medians(methods, seconds)
    rows = [[name, f"{speed:,.0f}"] for name, speed in sorted(speeds.items(), key=lambda s: -s[1])]
    data = {"machine": report.machine(*PACKAGES), "x real time": speeds}
    report.write("transforms", data, ["real FFT of windowed frames", "x real time"], rows)
