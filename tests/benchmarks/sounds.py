"""Sound for benchmarks where no real recordings are at hand, and in formats that they do not have."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from autobird.audio.mpeg import find_mpeg_frame, mpeg_frame_length

CONSTANT: dict[str, Any] = {"bitrate_mode": "CONSTANT", "compression_level": 0.5}
"""Options for an mp3 of constant bit rate: soundfile passes the mode over without a level."""


def song(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
    """Chirps over pink noise, different in each channel; shape (frames, channels), float32."""
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


def write(path: Path, sound: np.ndarray, rate: int, **options: Any) -> Path:
    """Write in blocks, as libsndfile crashes on long ones in some formats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, sound.shape[1], **options) as file:
        for at in range(0, len(sound), 1 << 15):
            file.write(sound[at : at + (1 << 15)])
    return path


def repeated(path: Path, times: int) -> Path:
    """An mp3 of constant bit rate whose frames follow each other so many times: a long recording in no time.

    Its first frame, which says how long the file is, is left out.
    """
    data = path.read_bytes()
    first = find_mpeg_frame(data[: 1 << 16])
    long = path.with_stem(f"{path.stem}x{times}")
    long.write_bytes(data[first + mpeg_frame_length(data[first : first + 4]) :] * times)
    return long
