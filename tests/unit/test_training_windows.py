"""Random crops and background noise: which frames are read, which windows are backgrounds, and how loud they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from autobird.audio.amplitude_scaling import AmplitudeScaling, Log, Magnitude, Pcen
from autobird.audio.mel import FrontEnd
from autobird.audio.settings import MelSettings
from autobird.config import load_config
from autobird.core.errors import AutobirdError
from autobird.dataset.drop_reasons import BETWEEN
from autobird.model.augment import Augmentation
from autobird.model.data import WindowDataset
from autobird.model.distributed import Processes
from autobird.model.ensemble_teaching import TaughtWindows, with_answers
from autobird.model.losses import Targets
from autobird.model.settings import TrainSettings
from autobird.model.shares import augmented, own_inputs
from autobird.model.training_windows import background_windows, crop_room, training_windows
from tests.label_sets import label_columns
from tests.unit.test_augmentation import NOTHING
from tests.unit.test_training import known_targets

FRONT_END = MelSettings(mels=16)
FRAMES, HOP = 157, 40_000
CROPS = TrainSettings(**(NOTHING | {"crop_seconds": 2.0}))


def index_of(*recordings: tuple[str, str, int], **columns: Any) -> pd.DataFrame:
    """Return an index of recordings (name, species or "", windows) in one shard, whose windows can be shifted to any other one."""
    rows: list[dict[str, Any]] = []
    base = 0
    for name, species, count in recordings:
        for window in range(count):
            first = base + int(np.round(window * HOP / FRONT_END.hop_length))
            rows.append(
                {
                    "recording": name,
                    "label": species,
                    "start": window * HOP,
                    "first_frame": first,
                    "latest": (count - 1) * HOP,
                }
            )
        base = rows[-1]["first_frame"] + FRAMES
    table = pd.DataFrame(rows)
    values = {"earliest": 0, "shard": 0, "split": "train", "dropped": "", "rms": 0.1, "negative": table["label"] == ""}
    return table.assign(**(values | columns), **label_columns(table.pop("label").tolist()))


def dataset(
    index: pd.DataFrame, settings: TrainSettings, folder: Path, front_end: MelSettings = FRONT_END
) -> WindowDataset:
    """Return the training windows; the values of a frame are its number in the shard, divided by 8."""
    frames = int(index["first_frame"].max()) + FRAMES
    np.save(folder / "0.npy", np.repeat(np.arange(frames)[:, None] / 8, 16, axis=1).astype(np.float16))
    index.to_parquet(folder / "index.parquet")
    return training_windows(folder / "index.parquet", ["x", "y"], [folder / "0.npy"], front_end, settings)


def own_windows(
    windows: WindowDataset, rows: np.ndarray, own: slice, settings: TrainSettings, rng: np.random.Generator
) -> tuple[torch.Tensor, Targets, torch.Tensor]:
    """Return the augmented windows of a process, their targets, and the species that were present in them before they were mixed."""
    return augmented(own_inputs(windows, rows, own, settings, rng), windows, settings, len(rows[own]))


def first_frames(
    windows: WindowDataset, rows: np.ndarray, settings: TrainSettings = CROPS, seed: int = 0
) -> np.ndarray:
    """Return the first frame that is read of each window, after a check that the others follow it."""
    x, _, _ = own_windows(windows, rows, slice(None), settings, np.random.default_rng(seed))
    frames = (x[:, 0, 0] * 8).numpy().astype(int)
    assert (np.diff(frames, axis=1) == 1).all()
    return frames[:, 0]


def test_windows_are_shifted_by_whole_frames_with_the_same_probability_and_never_into_another_recording(
    tmp_path: Path,
) -> None:
    windows = dataset(index_of(("a", "x", 3), ("b", "y", 3)), CROPS, tmp_path)
    longest = int(2 * 16000 / 512)
    end = windows.first_frame[2]
    for row, (low, high) in {
        0: (0, longest),
        1: (78 - longest, 78 + longest),
        2: (end - longest, end),
        3: (windows.first_frame[3], windows.first_frame[3] + longest),
        5: (windows.first_frame[5] - longest, windows.first_frame[5]),
    }.items():
        found = first_frames(windows, np.full(4000, row))
        assert (found.min(), found.max()) == (low, high), row
        counts = np.bincount(found - low)
        assert counts.min() > 0.4 * counts.mean()
        assert abs(found.mean() - (low + high) / 2) < 2


def test_frames_stay_within_those_of_the_outermost_windows_for_any_hop() -> None:
    """The first frame of a window is rounded to the nearest one; the shift must not add to that."""
    for hop in (1.0, 1.7, 2.5, 3.3):
        front_end = FRONT_END.model_copy(update={"hop": hop})
        _, firsts = FrontEnd.of(front_end).windows(np.ones(16000 * 31, np.int16))
        start = np.arange(len(firsts)) * front_end.hop_samples
        limits = pd.DataFrame({"start": start, "earliest": start[2], "latest": start[-3]})[2:-2]
        earlier, later = crop_room(limits, front_end, 60).T
        assert (firsts[2:-2] - earlier >= firsts[2]).all()
        assert (firsts[2:-2] + later <= firsts[-3]).all()
        assert (firsts[2:-2] - earlier <= firsts[2] + 1).all()  # and the whole range is used


def test_a_window_without_room_is_read_where_it_is(tmp_path: Path) -> None:
    index = index_of(("a", "x", 3))
    index[["earliest", "latest"]] = index[["start", "start"]].to_numpy()
    windows = dataset(index, CROPS, tmp_path)
    rows = np.repeat(np.arange(3), 50)
    np.testing.assert_array_equal(first_frames(windows, rows), windows.first_frame[rows])


def test_windows_with_the_answers_of_an_ensemble_are_not_shifted(tmp_path: Path) -> None:
    index = index_of(("a", "x", 3), ("b", "y", 3))
    windows = dataset(index, CROPS, tmp_path)
    answers = index[["recording", "start"]].assign(logits=[[0.0, 1.0]] * len(index))
    answers.to_parquet(tmp_path / "answers.parquet")
    taught = with_answers(windows, tmp_path / "index.parquet", tmp_path / "answers.parquet", "independent")
    assert isinstance(taught, TaughtWindows)
    rows = np.repeat(np.arange(6), 50)
    np.testing.assert_array_equal(first_frames(taught, rows), windows.first_frame[rows])
    assert (first_frames(windows, rows) != windows.first_frame[rows]).any()


def test_separately_computed_windows_cannot_be_cropped() -> None:
    message = r"train.crop_seconds is 2, but features.alignment is window.*; set train.crop_seconds to 0, or"
    with pytest.raises(AutobirdError, match=message):
        crop_room(index_of(("a", "x", 3)), FRONT_END.model_copy(update={"alignment": "window"}), 2)
    raw: dict[str, Any] = {"train": {"crop_seconds": 2}, "features": {"alignment": "window"}}
    with pytest.raises(AutobirdError, match=message):
        load_config(raw)
    load_config(raw | {"features": {}})


def test_a_training_with_separately_computed_windows_says_that_it_has_no_crops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for alignment in ("recording", "window"):
        config = load_config({"features": {"alignment": alignment}})
        front_end = FRONT_END.model_copy(update={"alignment": alignment})
        with caplog.at_level("INFO"):
            windows = dataset(index_of(("a", "x", 6)), config.train, tmp_path, front_end)
        assert (windows.room is None) == (alignment == "window")
        assert ("no crops: with features.alignment window" in caplog.text) == (alignment == "window")


# ---- Backgrounds.


def test_backgrounds_are_negative_and_quiet_windows_of_the_training_split() -> None:
    quiet = "RMS below 0.005"
    rows = [
        ("negative", "train", "", True, 0.1),
        ("quiet", "train", quiet, False, 0.004),
        ("negative, but quiet", "train", quiet, True, 0.004),
        ("with species", "train", "", False, 0.1),
        ("of validation", "validation", quiet, False, 0.004),
        ("of test", "test", "", True, 0.1),
        ("of no split", "unknown", quiet, False, 0.004),
        ("digital silence", "train", quiet, False, 0.0),
        ("constant", "train", "mel standard deviation below 0.1", False, 0.1),
        ("uncertain", "train", "no species is certain to be in it", False, 0.1),
        ("rare", "train", "species with fewer than 10 windows", False, 0.1),
        ("like several splits", "train", BETWEEN, False, 0.1),
        ("like several splits", "train", quiet, False, 0.004),
        ("quiet, beside loud ones", "train", quiet, False, 0.004),
        ("quiet, beside loud ones", "train", "", False, 0.1),
        ("annotated", "train", quiet, False, 0.004),
        ("annotated", "train", "", False, 0.1),
        ("annotated", "train", quiet, True, 0.003),
        ("possibly", "train", quiet, False, 0.004),
        ("possibly", "train", "", True, 0.1),
    ]
    index = pd.DataFrame(rows, columns=["recording", "split", "dropped", "negative", "rms"])
    named = ["quiet", "quiet, beside loud ones", "annotated"]
    index["present"] = [["x"] if row[0] in named and not row[3] else [] for row in rows]
    index["unknown"] = [["x"] if row[0] == "possibly" and not row[3] else [] for row in rows]
    found = background_windows(index)
    assert list(zip(found["recording"], found["rms"], strict=True)) == [
        ("negative", 0.1), ("negative, but quiet", 0.004), ("quiet, beside loud ones", 0.004), ("annotated", 0.003), ("possibly", 0.1),
    ]  # fmt: skip


@pytest.mark.parametrize("outputs", ["independent", "softmax"])
def test_negative_windows_are_backgrounds_also_of_a_training_without_them(outputs: str, tmp_path: Path) -> None:
    settings = TrainSettings(**(NOTHING | {"outputs": outputs, "background_probability": 0.5}))
    windows = dataset(index_of(("a", "x", 3), ("noise", "", 2)), settings, tmp_path)
    assert len(windows) == {"independent": 5, "softmax": 3}[outputs]
    assert windows.backgrounds is not None
    assert windows.backgrounds.recording_names == ["noise"]
    assert windows.backgrounds.first_frame.tolist() == [313, 391]


def test_a_corpus_without_backgrounds_is_trained_without_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = TrainSettings(background_probability=0.5)
    index = index_of(("a", "x", 3), ("noise", "", 2), split=["train"] * 3 + ["test"] * 2)
    with caplog.at_level("INFO"):
        assert dataset(index, settings, tmp_path).backgrounds is None
    assert "no negative windows and no quiet ones, so no backgrounds are added" in caplog.text


def test_all_recordings_are_backgrounds_equally_often_and_in_them_all_windows(tmp_path: Path) -> None:
    settings = TrainSettings(**(NOTHING | {"background_probability": 1.0}))
    windows = dataset(index_of(("a", "x", 1), ("long", "", 9), ("short", "", 1)), settings, tmp_path)
    assert windows.backgrounds is not None
    rows = windows.backgrounds.chosen(np.random.default_rng(0).random((9000, 2)))
    shares = np.bincount(rows, minlength=10) / len(rows)
    np.testing.assert_allclose(shares, [1 / 18] * 9 + [1 / 2], atol=0.02)


def noisy(
    x: torch.Tensor, noise: torch.Tensor, scaling: AmplitudeScaling, **settings: Any
) -> tuple[torch.Tensor, Targets]:
    """Add a background to each window; one background for each of them."""
    n = len(x)
    keys = NOTHING | {"background_probability": 1.0} | settings
    drawn = Augmentation.draw(n, (x.shape[2], x.shape[3]), TrainSettings(**keys), np.random.default_rng(0), scaling)
    return drawn.apply(x, known_targets(torch.eye(n)), np.arange(n), n, noise)


def power(x: torch.Tensor) -> torch.Tensor:
    return x.double().exp().sum((1, 2, 3))


@pytest.mark.parametrize("level", [-9.0, -2.0, 5.0])
def test_the_background_has_exactly_the_signal_to_noise_ratio_that_is_drawn(level: float) -> None:
    """It does so however loud it is itself, and its power is added cell by cell."""
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(2000, 1, 4, 6, generator=generator) + shift for shift in (-5, level))
    found, targets = noisy(x, noise, Log(), background_snr_db=(6, 20))
    added = found.double().exp() - x.double().exp()
    ratio = 10 * torch.log10(power(x) / added.sum((1, 2, 3)))
    np.testing.assert_allclose(np.sort(ratio), np.linspace(6, 20, 2000), atol=0.6)
    own = noise.double().exp() - 1e-6  # the floor of log-mel is no sound
    torch.testing.assert_close(
        added / added.sum((1, 2, 3), keepdim=True), own / own.sum((1, 2, 3), keepdim=True), rtol=0.02, atol=1e-3
    )
    fixed, _ = noisy(x, noise, Log(), background_snr_db=(10, 10))
    torch.testing.assert_close(power(fixed) / power(x), torch.full((2000,), 1.1, dtype=torch.double), rtol=1e-4, atol=0)
    assert torch.equal(targets.present, torch.eye(2000))


def test_the_floor_of_a_background_is_not_amplified() -> None:
    floor = float(np.float16(Log.silence))
    x, noise = torch.full((1, 1, 2, 3), -5.0), torch.full((1, 1, 2, 3), floor)
    assert torch.equal(noisy(x, noise, Log())[0], x)  # a silent background
    noise[0, 0, 0] = -9  # sound in one band alone
    found, _ = noisy(x, noise, Log(), background_snr_db=(10, 10))
    assert torch.equal(found[0, 0, 1], x[0, 0, 1])
    torch.testing.assert_close(found[0, 0, 0].exp() / x[0, 0, 0].exp(), torch.full((3,), 1.2))


def test_backgrounds_of_magnitudes_equal_those_of_log_mel_of_the_same_audio() -> None:
    x, noise = torch.randn(8, 1, 4, 6), torch.randn(8, 1, 4, 6) - 3
    a, _ = noisy(x, noise, Log())
    b, _ = noisy(torch.exp(0.25 * x), torch.exp(0.25 * noise), Magnitude(0.5))
    torch.testing.assert_close(torch.exp(0.25 * a), b, rtol=1e-4, atol=1e-5)
    silent, _ = noisy(torch.exp(0.25 * x), torch.zeros_like(noise), Magnitude(0.5))
    torch.testing.assert_close(silent, torch.exp(0.25 * x))


def test_pcen_values_of_a_background_are_added() -> None:
    pcen = Pcen(MelSettings(front_end="pcen"))
    x, noise = torch.full((1, 1, 2, 3), 4.0), torch.full((1, 1, 2, 3), 0.5)
    found, _ = noisy(x, noise, pcen, background_snr_db=(10, 10))
    torch.testing.assert_close(found, torch.full((1, 1, 2, 3), 4.4))
    assert torch.equal(noisy(x, torch.zeros_like(x), pcen)[0], x)


def test_the_share_of_windows_with_a_background_is_the_probability_and_the_others_stay_as_they_are(
    tmp_path: Path,
) -> None:
    settings = TrainSettings(**(NOTHING | {"background_probability": 0.3}))
    windows = dataset(index_of(("a", "x", 1), ("noise", "", 2)), settings, tmp_path)
    x, _, _ = own_windows(windows, np.zeros(3000, np.int64), slice(None), settings, np.random.default_rng(0))
    changed = (x - windows.take(np.zeros(1, np.int64))).abs().amax((1, 2, 3)) > 0
    assert abs(changed.float().mean() - 0.3) < 0.03


def test_crops_and_backgrounds_change_no_other_random_number() -> None:
    plain = TrainSettings(crop_seconds=0.0, background_probability=0.0)
    both = plain.model_copy(update={"crop_seconds": 1.0, "background_probability": 0.5})
    a, b = (Augmentation.draw(9, (16, 40), s, np.random.default_rng(1), Log()) for s in (plain, both))
    for name in ("shift", "nats", "partner", "weight"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.crop is None
    assert a.background is None


def test_a_share_of_a_batch_is_cropped_and_gets_backgrounds_as_in_the_whole_batch(tmp_path: Path) -> None:
    settings = TrainSettings(crop_seconds=2.0, background_probability=0.7)
    windows = dataset(index_of(("a", "x", 3), ("b", "y", 3), ("noise", "", 4)), settings, tmp_path)
    rows = np.arange(9)
    whole, targets, _ = own_windows(windows, rows, slice(None), settings, np.random.default_rng(3))
    for rank in range(2):
        own = Processes(rank, 2).share(len(rows))
        part, of_part, _ = own_windows(windows, rows, own, settings, np.random.default_rng(3))
        torch.testing.assert_close(part, whole[own])
        assert torch.equal(of_part.present, targets.present[own])
    without = replace(windows, room=None)
    assert not torch.equal(own_windows(without, rows, slice(None), settings, np.random.default_rng(3))[0], whole)


def test_a_range_of_levels_with_the_larger_one_first_is_an_error_with_the_remedy() -> None:
    with pytest.raises(AutobirdError, match=r"train: background_snr_db \[20, 10\] .* set it to \[10, 20\]"):
        load_config({"train": {"background_snr_db": [20, 10]}})
    with pytest.raises(AutobirdError, match=r"train.background_snr_db.0: 3 is not valid"):
        load_config({"train": {"background_snr_db": [3, 10]}})
