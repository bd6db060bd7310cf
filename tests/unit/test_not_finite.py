"""NaN and infinity stop the stage in which they appear, and the error names the recordings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from autobird.audio.mel_shards import MelJob, compute_frames
from autobird.audio.settings import MelSettings
from autobird.core.errors import AutobirdError
from autobird.model.data import WindowDataset
from autobird.model.loop import Trainer
from autobird.model.networks import build_network
from autobird.model.precision import Compute, make_deterministic
from autobird.model.settings import TrainSettings
from autobird.model.validation import loss_and_macro_f1, predict_logits
from tests.label_sets import label_columns

CPU = Compute(torch.device("cpu"), torch.float32)
SETTINGS = TrainSettings(width=8, epochs=2, batch_size=8, threads=1)
NAMES = [f"bird {n}.wav" for n in range(16)]


def shard(folder: Path) -> tuple[Path, np.ndarray]:
    """Write a shard with one window of 40 frames from each of 16 recordings; return its path and its frames."""
    frames = np.random.default_rng(0).normal(-9, 1, (16 * 40, 16)).astype(np.float16)
    np.save(folder / "0.npy", frames)
    return folder / "0.npy", frames


def windows(path: Path) -> WindowDataset:
    index = pd.DataFrame(
        {
            "shard": 0,
            "first_frame": np.arange(16) * 40,
            "start": np.arange(16) * 20_480,
            "recording": NAMES,
            **label_columns([f"s{n % 3}" for n in range(16)]),
        }
    )
    return WindowDataset.from_index(index, ["s0", "s1", "s2"], [path], 40)


def trainer(folder: Path, compute_in: Compute = CPU, **keys: object) -> Trainer:
    make_deterministic(1)
    torch.manual_seed(0)
    data = windows(shard(folder)[0])
    settings = SETTINGS.model_copy(update=keys)
    return Trainer(build_network(settings, 3, -8.0, 2.0), data, data, settings, compute_in)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_in_a_shard_that_is_not_finite_is_an_error_before_training(value: float, tmp_path: Path) -> None:
    path, frames = shard(tmp_path)
    frames[7 * 40 + 39, 3] = value
    np.save(path, frames)
    with pytest.raises(
        AutobirdError, match=r"0\.npy: the window of bird 7\.wav at sample 143360 contains NaN or infinity"
    ):
        windows(path)


def test_frames_outside_of_all_windows_may_contain_nan(tmp_path: Path) -> None:
    path, frames = shard(tmp_path)
    np.save(path, np.concatenate([frames, np.full((40, 16), np.nan, np.float16)]))
    assert len(windows(path)) == 16


def test_all_blocks_of_frames_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autobird.model.data._FRAMES_PER_CHECK", 32)
    path, frames = shard(tmp_path)
    frames[-1, -1] = np.inf
    np.save(path, frames)
    with pytest.raises(AutobirdError, match=r"bird 15\.wav"):
        windows(path)


def test_the_error_for_a_loss_that_is_not_finite_names_epoch_step_and_recordings(tmp_path: Path) -> None:
    t = trainer(tmp_path)
    with torch.no_grad():
        t.network.classifier.weight[0, 0] = torch.nan
    with pytest.raises(
        AutobirdError, match=r"loss of epoch 1, step 1 of 2, .*bird 0\.wav, .*bird 3\.wav; lower train\.learning_rate"
    ):
        t._step(np.arange(4))


def test_a_gradient_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    t = trainer(tmp_path)
    t.network.stem[0].weight.register_hook(lambda g: g * torch.inf)
    with pytest.raises(AutobirdError, match="gradient of epoch 1, step 1"):
        t.run(lambda: None)


def test_a_weight_that_is_not_finite_stops_the_training_before_a_checkpoint_is_saved(tmp_path: Path) -> None:
    t = trainer(tmp_path)
    steps_completed = []
    t.optimizer.register_step_post_hook(lambda *_: t.network.classifier.bias.data.fill_(torch.inf))
    with pytest.raises(AutobirdError, match="weights of epoch 1, step 1"):
        t.run(lambda: None, lambda: steps_completed.append(1))
    assert not steps_completed


def test_float16_may_skip_a_step_but_not_at_the_smallest_loss_scale(tmp_path: Path) -> None:
    """The gradient scaler skips steps whose gradient overflowed. At a tiny scale, overflow cannot be the cause."""
    t = trainer(tmp_path)
    t.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=1000)
    t.network.stem[0].weight.register_hook(lambda g: g * torch.inf)
    before = t.network.stem[0].weight.detach().clone()
    t._step(np.arange(8))
    assert torch.equal(t.network.stem[0].weight, before)
    assert t.scaler.get_scale() == 2.0**15
    t.scaler = torch.amp.GradScaler("cpu", init_scale=1e-4)
    with pytest.raises(AutobirdError, match="gradient of epoch 1"):
        t._step(np.arange(8))


def test_logits_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    data, network = windows(shard(tmp_path)[0]), build_network(SETTINGS, 3, -8.0, 2.0)
    torch.nn.init.constant_(network.classifier.bias, torch.nan)
    with pytest.raises(AutobirdError, match=r"logits of 16 of 16 windows are NaN or infinite .*bird 0\.wav"):
        predict_logits(network, data, CPU)
    with pytest.raises(AutobirdError, match="NaN or infinite"):
        loss_and_macro_f1(network, data, SETTINGS, CPU)


def test_an_error_names_a_limited_number_of_recordings_and_counts_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autobird.model.data._MAX_NAMES_IN_ERROR", 2)
    assert (
        windows(shard(tmp_path)[0]).describe_recordings(np.array([5, 3, 3, 4])) == "bird 3.wav, bird 4.wav and 1 more"
    )


def test_values_beyond_the_range_of_float16_are_an_error_that_names_the_recording(tmp_path: Path) -> None:
    """Only unusual settings reach such values: samples are int16, and log-mel of the loudest audio is about 12."""
    loud = np.where(np.arange(80_000) // 16 % 2, 32767, -32768).astype(np.int16)
    np.save(tmp_path / "pcm.npy", loud)
    tasks = {
        kind: MelJob(tmp_path / "pcm.npy", 0, len(loud), tmp_path / kind, MelSettings(front_end=kind, **keys), "loud.wav")
        for kind, keys in {"log_mel": {}, "magnitude": {"magnitude_exponent": 2.0}, "pcen": {"pcen_gain": 0.0, "pcen_power": 1.0}}.items()
    }  # fmt: skip
    compute_frames(tasks["log_mel"])
    for kind in ("magnitude", "pcen"):
        with pytest.raises(AutobirdError, match=r"loud\.wav: .* float16"):
            compute_frames(tasks[kind])
