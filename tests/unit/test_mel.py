"""The log-mel front end agrees with torchaudio, over whole recordings and window by window."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autobird.audio.compression import POWER_FLOOR
from autobird.audio.mel import FrontEnd, filter_bank
from autobird.audio.settings import MelSettings
from autobird.model.audio_transforms import functional


def noise(seconds: float, seed: int = 0) -> NDArray[np.int16]:
    rng = np.random.default_rng(seed)
    n = int(seconds * 16000)
    t = np.arange(n) / 16000
    x = 0.02 * rng.standard_normal(n) + 0.4 * np.sin(2 * np.pi * (1500 + 900 * np.sin(3 * t)) * t)
    return np.rint(x * 12000).astype(np.int16)


def reference(samples: NDArray[np.int16], settings: MelSettings, pad_mode: str) -> NDArray[np.float32]:
    """ln(mel power + 1e-6) by torch's STFT and torchaudio's filter bank, shape (frames, mels)."""
    x = torch.from_numpy(samples.astype(np.float32) / 32768)
    window = torch.hann_window(settings.n_fft)
    spectrum = torch.stft(x, settings.n_fft, settings.hop_length, window=window, pad_mode=pad_mode, return_complex=True)
    bank = functional.melscale_fbanks(
        settings.n_fft // 2 + 1, settings.fmin, settings.fmax, settings.mels, settings.sample_rate
    )
    return torch.log(spectrum.abs().square().T @ bank + POWER_FLOOR).numpy()


@pytest.mark.parametrize(
    "settings",
    [MelSettings(), MelSettings(sample_rate=22050, n_fft=2048, hop_length=441, mels=128, fmin=150, fmax=11025)],
)
def test_the_filter_bank_is_torchaudios(settings: MelSettings) -> None:
    theirs = functional.melscale_fbanks(
        settings.n_fft // 2 + 1, settings.fmin, settings.fmax, settings.mels, settings.sample_rate
    ).numpy()
    ours = filter_bank(settings.n_fft, settings.mels, settings.fmin, settings.fmax, settings.sample_rate)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("seconds", [0.7, 5.0, 12.34])
def test_frames_agree_with_torchaudio_over_the_whole_recording(seconds: float) -> None:
    settings = MelSettings()
    samples = noise(seconds)
    frames, firsts = FrontEnd.of(settings).windows(samples)
    padded = np.zeros(int(firsts[-1]) * 512 + 80_000 + 1024, np.int16)
    padded[: len(samples)] = samples
    theirs = reference(padded, settings, "constant")[: len(frames)]
    np.testing.assert_allclose(frames, theirs, atol=1e-3)


def test_a_window_computed_alone_agrees_with_the_original_projects_way() -> None:
    settings = MelSettings(alignment="window")
    samples = noise(9.0)
    frames, firsts = FrontEnd.of(settings).windows(samples)
    for first, start in zip(firsts, (0, 40_000, 80_000), strict=True):
        part = np.zeros(80_000, np.int16)
        piece = samples[start : start + 80_000]
        part[: len(piece)] = piece
        np.testing.assert_allclose(frames[first : first + 157], reference(part, settings, "reflect"), atol=1e-3)


def test_overlapping_windows_share_their_frames() -> None:
    frames, firsts = FrontEnd.of(MelSettings()).windows(noise(10.0))
    assert firsts.tolist() == [0, 78, 156]
    assert len(frames) == 156 + 157


def test_digital_silence_is_the_floor() -> None:
    frames, _ = FrontEnd.of(MelSettings()).windows(np.zeros(80_000, np.int16))
    np.testing.assert_allclose(frames, np.log(POWER_FLOOR), rtol=1e-6)


def test_full_scale_and_silence_fit_float16_within_half_a_step() -> None:
    frames, _ = FrontEnd.of(MelSettings()).windows(
        np.concatenate([noise(5), np.full(16000, 32767, np.int16), noise(0)])
    )
    stored = frames.astype(np.float16)
    assert (
        np.abs(stored.astype(np.float32) - frames) <= np.spacing(np.abs(stored)).astype(np.float32) / 2 + 1e-7
    ).all()
