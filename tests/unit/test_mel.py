"""Front ends: mel frames agree with torchaudio, for whole recordings and single windows; PCEN and magnitude; float16."""

from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autobird.audio.amplitude_scaling import POWER_FLOOR
from autobird.audio.mel import FrontEnd, filter_bank
from autobird.audio.mel_scale import band_centres
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
def test_the_filter_bank_agrees_with_torchaudio(settings: MelSettings) -> None:
    theirs = functional.melscale_fbanks(
        settings.n_fft // 2 + 1, settings.fmin, settings.fmax, settings.mels, settings.sample_rate
    ).numpy()
    np.testing.assert_allclose(filter_bank(settings), theirs, atol=2e-5)


def test_band_centres_are_equally_spaced_on_the_mel_scale() -> None:
    settings = MelSettings()
    centres = band_centres(settings)
    mel = 2595 * np.log10(1 + np.array([settings.fmin, *centres, settings.fmax]) / 700)
    np.testing.assert_allclose(np.diff(mel), (mel[-1] - mel[0]) / 65)
    bins = np.linspace(0, 8000, 513)
    peaks = bins[filter_bank(settings).argmax(axis=0)]  # a filter is largest at its centre
    np.testing.assert_allclose(peaks[16:], centres[16:], atol=8)


@pytest.mark.parametrize("seconds", [0.7, 5.0, 12.34])
def test_frames_of_a_recording_agree_with_torchaudio(seconds: float) -> None:
    settings = MelSettings()
    samples = noise(seconds)
    frames, firsts = FrontEnd.of(settings).windows(samples)
    padded = np.zeros(int(firsts[-1]) * 512 + 80_000 + 1024, np.int16)
    padded[: len(samples)] = samples
    theirs = reference(padded, settings, "constant")[: len(frames)]
    np.testing.assert_allclose(frames, theirs, atol=1e-3)


def test_separate_windows_agree_with_the_original_project() -> None:
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


def test_digital_silence_has_the_value_of_the_power_floor() -> None:
    frames, _ = FrontEnd.of(MelSettings()).windows(np.zeros(80_000, np.int16))
    np.testing.assert_allclose(frames, np.log(POWER_FLOOR), rtol=1e-6)


def test_float16_rounds_full_scale_and_silence_by_at_most_half_a_step() -> None:
    frames, _ = FrontEnd.of(MelSettings()).windows(
        np.concatenate([noise(5), np.full(16000, 32767, np.int16), noise(0)])
    )
    stored = frames.astype(np.float16)
    assert (
        np.abs(stored.astype(np.float32) - frames) <= np.spacing(np.abs(stored)).astype(np.float32) / 2 + 1e-7
    ).all()


def magnitudes(values: NDArray[np.float32], exponent: float) -> NDArray[np.float64]:
    """Magnitude raised to `exponent`, from log-mel."""
    return (np.exp(values.astype(np.float64)) - POWER_FLOOR).clip(0) ** (exponent / 2)


def pcen(power: NDArray[np.float64], settings: MelSettings) -> NDArray[np.float64]:
    """PCEN (Wang et al. 2017), frame by frame."""
    t = settings.pcen_time_constant * settings.sample_rate / settings.hop_length
    s = (np.sqrt(1 + 4 * t * t) - 1) / (2 * t * t)
    energy, level, out = power * 32768.0**2, power[0] * 32768.0**2, []
    for e in energy:
        level = (1 - s) * level + s * e
        gain, bias, root = settings.pcen_gain, settings.pcen_bias, settings.pcen_power
        out.append((e / (1e-6 + level) ** gain + bias) ** root - bias**root)
    return np.array(out)


def test_all_front_ends_use_the_same_mel_power() -> None:
    samples = np.concatenate([noise(11.0), np.zeros(8000, np.int16), noise(3.0) // 8])
    log_mel, firsts = FrontEnd.of(MelSettings()).windows(samples)
    for exponent in (0.25, 0.5, 1.0):
        front_end = FrontEnd.of(MelSettings(front_end="magnitude", magnitude_exponent=exponent))
        values, same_firsts = front_end.windows(samples)
        np.testing.assert_array_equal(same_firsts, firsts)
        np.testing.assert_allclose(
            values, magnitudes(log_mel, exponent), rtol=1e-3, atol=0.03 * POWER_FLOOR ** (exponent / 2)
        )
        power = front_end.scaling.power(values.astype(np.float64))
        np.testing.assert_allclose(np.log(power + POWER_FLOOR), log_mel, atol=2e-3)
    for settings in (
        MelSettings(front_end="pcen"),
        MelSettings(front_end="pcen", pcen_time_constant=0.06, pcen_gain=0.8, pcen_bias=10, pcen_power=0.25),
    ):
        values, _ = FrontEnd.of(settings).windows(samples)
        np.testing.assert_allclose(
            values, pcen(np.exp(log_mel.astype(np.float64)) - POWER_FLOOR, settings), rtol=2e-3, atol=2e-3
        )


def test_pcen_removes_the_level_of_a_recording() -> None:
    samples = noise(8.0)
    quiet, _ = FrontEnd.of(MelSettings(front_end="pcen", pcen_gain=1.0)).windows(samples // 10)
    loud, _ = FrontEnd.of(MelSettings(front_end="pcen", pcen_gain=1.0)).windows(samples // 10 * 10)
    np.testing.assert_allclose(quiet[:240], loud[:240], atol=1e-3)


@pytest.mark.parametrize("name", ["log_mel", "pcen", "magnitude"])
@pytest.mark.parametrize("alignment", ["recording", "window"])
def test_every_front_end_fits_into_float16_and_gives_its_value_of_silence(
    name: Literal["log_mel", "pcen", "magnitude"], alignment: Literal["recording", "window"]
) -> None:
    front_end = FrontEnd.of(MelSettings(front_end=name, alignment=alignment))
    loudest = np.where(np.arange(80_000) // 8 % 2, 32767, -32768).astype(np.int16)
    for samples in (np.zeros(80_000, np.int16), loudest, np.concatenate([np.zeros(40_000, np.int16), loudest])):
        values, _ = front_end.windows(samples)
        assert np.isfinite(values.astype(np.float16)).all()
    silent, _ = front_end.windows(np.zeros(80_000, np.int16))
    np.testing.assert_allclose(silent, front_end.scaling.silence, rtol=1e-6)


def test_frames_do_not_depend_on_the_limits_of_blocks() -> None:
    """A part of a recording, where blocks start at other samples, has the same frames as the whole recording."""
    for name in ("log_mel", "magnitude"):
        front_end = FrontEnd.of(MelSettings.model_validate({"front_end": name}))
        samples = noise(20.0)
        whole, _ = front_end.windows(samples)
        shifted = front_end.frames(samples[512 * 37 :], 200)
        np.testing.assert_allclose(shifted[2:190], whole[39:227], atol=1e-5)
