"""Log-mel once over the recording against the original project's way, side by side in one run."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from autobird.audio.mel import FrontEnd
from autobird.audio.settings import MelSettings
from autobird.audio.windows import window_starts
from autobird.model.audio_transforms import functional

pytestmark = pytest.mark.benchmark

_REPEATS = 7


def original(samples: np.ndarray, settings: MelSettings) -> None:
    """Each window alone, window function and filter bank built anew for each, as the original project does."""
    x = torch.from_numpy(samples.astype(np.float32) / 32768)
    for start in window_starts(len(samples), settings.window_samples, settings.hop_samples):
        part = x[start : start + settings.window_samples]
        part = torch.nn.functional.pad(part, (0, settings.window_samples - len(part)))
        bank = functional.melscale_fbanks(513, settings.fmin, settings.fmax, settings.mels, settings.sample_rate)
        spectrum = torch.stft(part, 1024, 512, window=torch.hann_window(1024), return_complex=True)
        torch.log(spectrum.abs().square().T @ bank + 1e-6)


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_one_pass_over_the_recording_beats_window_by_window() -> None:
    torch.set_num_threads(1)
    settings = MelSettings()
    samples = np.random.default_rng(0).integers(-3000, 3000, 300 * 16000).astype(np.int16)
    front_end = FrontEnd.of(settings)
    front_end.windows(samples)
    original(samples[: 20 * 16000], settings)
    with threadpool_limits(1):
        pairs = [
            (seconds(lambda: front_end.windows(samples)), seconds(lambda: original(samples, settings)))
            for _ in range(_REPEATS)
        ]
    ours, theirs = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    ratio = statistics.median(b / a for a, b in pairs)
    print(
        f"\nlog-mel of 300 s, one core: {ours:.3f} s ({300 / ours:.0f} x real time), the original's way {theirs:.3f} s; {ratio:.1f} x"
    )
    assert ratio > 1.5
