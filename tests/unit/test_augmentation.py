"""Augmentations change the share of a batch and have the strength that their settings give, and change nothing else."""

import numpy as np
import pytest
import torch

from autobird.audio.amplitude_scaling import POWER_FLOOR, Log
from autobird.model.augment import Augmentation
from autobird.model.settings import TrainSettings
from tests.augmented import augment
from tests.unit.test_training import known_targets

NOTHING = {"roll": False, "gain_db": 0, "equaliser_db": 0, "mask_probability": 0, "mix_probability": 0}
NATS_PER_DB = np.log(10) / 10
N = 2000


def change(**settings: float) -> np.ndarray:
    """Return the change of windows whose cells are all equal, dB; shape (windows, mels, frames)."""
    x = torch.full((N, 1, 64, 4), -5.0)
    targets = known_targets(torch.eye(2)[torch.arange(N) % 2])
    found, y = augment(x, targets, TrainSettings(**(NOTHING | settings)), rng(), Log())
    assert all(map(torch.equal, y, targets))
    return (found - x)[:, 0].numpy() / NATS_PER_DB


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_without_augmentation_nothing_changes() -> None:
    assert not change().any()


def test_the_gain_of_a_window_is_uniform_between_its_limits() -> None:
    found = change(gain_db=6)
    assert np.ptp(found, axis=(1, 2)).max() < 1e-4  # the same for all cells of a window
    gains = np.sort(found[:, 0, 0])
    np.testing.assert_allclose(gains, np.linspace(-6, 6, N), atol=0.5)


def test_the_equaliser_is_smooth_over_the_bands_and_has_the_standard_deviations_that_its_setting_documents() -> None:
    found = change(equaliser_db=6)
    assert np.ptp(found, axis=2).max() < 1e-4  # the same for all frames
    curves = found[:, :, 0]
    assert np.abs(curves.mean(axis=0)).max() < 0.6
    neighbours = np.diff(curves, axis=1).std()
    assert 0.1 < neighbours < 1.5
    share = curves.std(axis=0) / 6
    assert np.sqrt(np.mean(share**2)) == pytest.approx(0.72, abs=0.02)
    assert share[[0, -1]] == pytest.approx(1.02, abs=0.05)


def test_the_share_of_mixed_windows_is_the_probability_of_the_setting() -> None:
    x = torch.randn(N, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    settings = TrainSettings(**(NOTHING | {"outputs": "softmax", "mix_probability": 0.3}))
    found, (y, _) = augment(x, known_targets(torch.eye(N)), settings, rng(), Log())
    mixed = (found - x).abs().amax((1, 2, 3)) > 1e-3
    assert abs(mixed.float().mean() - 0.3) < 0.03
    own = y.diagonal()[mixed]
    np.testing.assert_allclose(np.sort(own.numpy()), np.linspace(0.5, 1, len(own)), atol=0.05)


def test_masks_have_the_probability_and_the_widths_of_their_settings() -> None:
    x = torch.zeros(N, 1, 64, 157)
    settings = TrainSettings(**(NOTHING | {"mask_probability": 0.4, "mask_bands": 8, "mask_frames": 20}))
    found, _ = augment(x, known_targets(torch.ones(N, 1)), settings, rng(), Log())
    assert set(found.unique().tolist()) == {0.0, float(np.float32(np.log(POWER_FLOOR)))}
    masked = (found != 0)[:, 0].numpy()
    for axis, widest in ((1, 8), (2, 20)):
        other = masked.all(axis=3 - axis)  # whole bands, or whole frames; shape (windows, bands or frames)
        widths = other.sum(axis=1)
        assert widths.max() == widest - 1  # torchaudio draws a width below the widest
        assert ((np.diff(other.astype(int), axis=1) == 1).sum(axis=1) + other[:, 0] <= 1).all()  # one mask at most
        assert abs((widths > 0).mean() - 0.4 * (1 - 1 / widest)) < 0.05


def test_masks_wider_than_the_window_leave_half_of_its_bands_and_frames() -> None:
    """A window without sound would keep the species of its target. Windows of half a second have 16 frames."""
    x = torch.zeros(N, 1, 10, 16)
    settings = TrainSettings(**(NOTHING | {"mask_probability": 1, "mask_bands": 1000, "mask_frames": 20}))
    found, _ = augment(x, known_targets(torch.ones(N, 1)), settings, rng(), Log())
    masked = (found != 0)[:, 0].numpy()
    for axis, size in ((1, 10), (2, 16)):
        widths = masked.all(axis=3 - axis).sum(axis=1)
        assert widths.max() == size // 2 - 1  # torchaudio draws a width below the widest
    assert not masked.all(axis=(1, 2)).any()


def test_a_window_that_is_not_mixed_holds_another_one_69_db_below_its_level_and_not_its_species() -> None:
    """So digital silence holds faint sound. The loudest sounds are 110 dB above the floor of log-mel."""
    silence = float(np.log(POWER_FLOOR))
    x = torch.full((N, 1, 2, 3), silence)
    x[::2] = 12.0
    targets = known_targets(torch.eye(N))
    settings = TrainSettings(**(NOTHING | {"mix_probability": 0.5}))
    drawn = Augmentation.draw(N, (2, 3), settings, rng(), Log())
    found, (y, _) = drawn.apply(x, targets, np.arange(N), N)
    assert drawn.weight is not None
    alone = torch.from_numpy(drawn.weight == 1)
    other = x[drawn.partner][alone] - 69 / 10 * np.log(10)
    expected = torch.logaddexp(x[alone], other)
    assert (expected > x[alone] + 1).any()
    assert torch.allclose(found[alone], expected, atol=0.3)  # the share is rounded to float32
    assert torch.equal(y[alone], targets.present[alone])
