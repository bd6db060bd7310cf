"""Synthetic recordings for benchmarks, in formats that the real recordings do not have, or where those are missing."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from autobird.audio.mpeg import find_mpeg_frame, mpeg_frame_length

CONSTANT: dict[str, Any] = {"bitrate_mode": "CONSTANT", "compression_level": 0.5}
"""Options for an mp3 of constant bit rate; soundfile ignores the mode if no level is given."""


def song(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
    """Return chirps in noise, different in each channel; shape (frames, channels), float32."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    time = np.arange(n) / rate
    top = min(7000.0, 0.4 * rate)
    chirp = np.sin(2 * np.pi * np.cumsum(1500 + (top - 1500) * (0.5 + 0.5 * np.sin(2 * np.pi * 0.7 * time))) / rate)
    envelope = np.clip(np.sin(2 * np.pi * 1.3 * time), 0, 1) ** 2
    noise = np.cumsum(rng.standard_normal((n, channels)), axis=0)
    noise -= np.linspace(0, 1, n)[:, None] * noise[-1]
    noise = 0.02 * noise / (np.abs(noise).max() + 1e-9) + 0.01 * rng.standard_normal((n, channels))
    gain = np.linspace(1, 0.6, channels)
    return (0.25 * (chirp * envelope)[:, None] * gain + noise).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int, **options: Any) -> Path:
    """Write a file in blocks, because libsndfile crashes on long ones in some formats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], **options) as file:
        for at in range(0, len(samples), 1 << 15):
            file.write(samples[at : at + (1 << 15)])
    return path


def repeated(path: Path, times: int) -> Path:
    """Repeat the frames of an mp3 of constant bit rate `times` times, a fast way to a long recording.

    The first frame, which declares the length, is left out.
    """
    data = path.read_bytes()
    first = find_mpeg_frame(data[: 1 << 16])
    long = path.with_stem(f"{path.stem}x{times}")
    long.write_bytes(data[first + mpeg_frame_length(data[first : first + 4]) :] * times)
    return long
