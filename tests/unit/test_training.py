"""Training: resuming to bit-identical weights, checkpoints, schedules, augmentation, sampling and the stage itself."""

import copy
import dataclasses
import json
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray

from autobird.audio.amplitude_scaling import POWER_FLOOR, Log, Magnitude, Pcen
from autobird.audio.npy import NpyWriter
from autobird.audio.settings import MelSettings
from autobird.config import load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.model import loop, train
from autobird.model.checkpoint import Checkpointer, training_id
from autobird.model.data import WindowDataset, epoch_order
from autobird.model.loop import Trainer, _Drawn
from autobird.model.losses import Targets
from autobird.model.networks import ARCHITECTURES, Normalise, build_network
from autobird.model.precision import Compute, make_deterministic, select_precision
from autobird.model.sampling import one_hot, sampling_probabilities
from autobird.model.settings import MAX_SEED, TrainSettings
from autobird.model.trained import load_trained
from autobird.model.validation import loss_and_macro_f1
from tests.augmented import augment
from tests.label_sets import label_columns, single_species

CPU = Compute(torch.device("cpu"), torch.float32)
TINY = TrainSettings(width=4, epochs=2, batch_size=8, threads=1, crop_seconds=0.0, background_probability=0.0)


@pytest.fixture(autouse=True)
def sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM, which `Checkpointer` replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


SONG = np.flatnonzero(np.arange(40) % 10 < 5)[:, None]
"""Frames of a window of `windows` in which its species is heard."""


def windows(n: int = 40, species: int = 3, seed: int = 0) -> WindowDataset:
    """Return windows in which each species is heard at its own frequency, half of the time."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % species
    frames = rng.normal(-9, 1, (n, 40, 16)).astype(np.float16)
    for i, species_index in enumerate(label):
        frames[i, SONG, 2 + 4 * species_index + np.arange(3)] += 4
    return WindowDataset(
        [frames.reshape(-1, 16)], np.zeros(n, np.int64), np.arange(n) * 40, single_species(label, species), np.arange(n) // 2, 40
    )  # fmt: skip


def with_crops_and_backgrounds(data: WindowDataset, each: int = 2) -> WindowDataset:
    """Return a dataset whose windows can be shifted to the other `each` - 1 of their recordings, and which has backgrounds."""
    place = np.arange(len(data)) % each
    last = np.minimum(each, len(data) - np.arange(len(data)) + place) - 1
    room = np.stack([place, last - place], axis=1) * data.frames
    return dataclasses.replace(data, room=room, backgrounds=windows(7, seed=3))


def trainer(settings: TrainSettings = TINY) -> Trainer:
    make_deterministic(1)
    torch.manual_seed(0)
    train = with_crops_and_backgrounds(windows())
    return Trainer(build_network(settings, 3, -8.0, 2.0), train, windows(12, seed=1), settings, CPU)


def known_targets(present: torch.Tensor) -> Targets:
    """Return targets of which all is known."""
    return Targets(present, torch.ones_like(present, dtype=torch.bool))


def equal_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    "settings",
    [
        TINY,
        TINY.model_copy(update={"outputs": "softmax"}),
        TINY.model_copy(update={"crop_seconds": 1.0, "background_probability": 0.5}),
        TrainSettings(architecture="cnn_transformer", d_model=8, epochs=2, batch_size=8, threads=1),
    ],
)
@pytest.mark.parametrize("steps", [1, 5, 7])
def test_an_interrupted_and_resumed_training_ends_with_the_same_weights(
    settings: TrainSettings, steps: int, tmp_path: Path
) -> None:
    expected = trainer(settings).run(lambda: None)
    interrupted = trainer(settings)
    remaining = iter(range(steps))

    def stop() -> None:
        if next(remaining, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted.run(lambda: None, stop)
    Checkpointer(str(tmp_path), "x", interrupted).save()
    resumed = trainer(settings)
    torch.manual_seed(99)  # the new process may have any random state
    Checkpointer(str(tmp_path), "x", resumed).resume()
    assert resumed.progress.step or resumed.progress.epoch
    assert equal_weights(resumed.run(lambda: None), expected)


def test_crops_and_backgrounds_change_the_training_only_if_they_are_on() -> None:
    off = trainer().run(lambda: None)
    without = trainer()
    without.train = windows()
    assert equal_weights(without.run(lambda: None), off)
    for keys in ({"crop_seconds": 1.0}, {"background_probability": 0.5}):
        assert not equal_weights(trainer(TINY.model_copy(update=keys)).run(lambda: None), off)


def test_each_epoch_and_each_seed_has_an_order_and_random_numbers_of_its_own() -> None:
    """A training that repeated those of the first epoch would resume to the same weights, too."""

    def steps(seed: int) -> list[tuple[tuple[int, ...], int, tuple[int, ...]]]:
        settings = TINY.model_copy(update={"seed": seed, "sampler": "uniform"})
        t, found = trainer(settings), []
        original = t._step

        def step(rows: NDArray[np.int64], drawn: _Drawn | None = None) -> None:
            assert drawn is not None
            assert drawn.inputs.draws.shift is not None
            found.append((tuple(rows.tolist()), drawn.seed, tuple(drawn.inputs.draws.shift.tolist())))
            original(rows, drawn)

        t._step = step  # type: ignore[method-assign]
        t.run(lambda: None)
        assert len(found) == settings.epochs * t.steps_per_epoch
        return found

    first, other = steps(4), steps(5)
    assert steps(4) == first
    for column in range(3):
        values = [step[column] for step in (*first, *other)]
        assert len(set(values)) == len(values)


def test_the_scale_of_the_loss_in_float16_is_resumed_too() -> None:
    """At a scale this high the gradients overflow, and the first steps are skipped while it is reduced."""

    def in_float16() -> Trainer:
        make_deterministic(1)
        torch.manual_seed(0)
        network = build_network(TINY, 3, -8.0, 2.0)
        return Trainer(network, windows(), windows(12, seed=1), TINY, Compute(CPU.device, torch.float16))

    def with_high_scale() -> Trainer:
        t = in_float16()
        t.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20)
        return t

    whole = with_high_scale()
    expected = whole.run(lambda: None)
    assert 1 < whole.scaler.get_scale() < 2.0**20
    interrupted = with_high_scale()

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted.run(lambda: None, stop)
    resumed = in_float16()
    resumed.load_state_dict(copy.deepcopy(interrupted.state_dict()))
    assert equal_weights(resumed.run(lambda: None), expected)


def test_sigterm_saves_a_checkpoint_after_the_step_and_exits_with_143(tmp_path: Path) -> None:
    t = trainer()
    checkpointer = Checkpointer(str(tmp_path), "x", t)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit) as exit_info:
        t.run(lambda: None, checkpointer.after_step)
    assert exit_info.value.code == 143
    assert (tmp_path / "x/checkpoint.pt").exists()


def test_a_damaged_checkpoint_is_ignored(tmp_path: Path) -> None:
    checkpointer = Checkpointer(str(tmp_path), "x", trainer())
    (tmp_path / "x").mkdir()
    (tmp_path / "x/checkpoint.pt").write_bytes(b"half a file")
    checkpointer.resume()
    assert checkpointer.trainer.progress.epoch == 0


def test_the_training_id_depends_on_the_texts_and_the_content_of_the_files(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"1")
    first = training_id(["a", "b"], [file])
    assert first != training_id(["ab", ""], [file])
    file.write_bytes(b"2")
    assert first != training_id(["a", "b"], [file])


def test_training_learns_species_that_are_easy_to_tell_apart() -> None:
    settings = TINY.model_copy(update={"epochs": 12, "mix_probability": 0.0, "ema_decay": 0.9})
    t = trainer(settings)
    t.run(lambda: None)
    assert t.progress.history[-1]["validation_macro_f1"] > 0.9
    assert t.progress.history[-1]["train_loss"] < t.progress.history[0]["train_loss"]


@pytest.mark.parametrize(("select", "kept"), [("best", 2), ("last", 4)])
def test_the_weights_of_the_selected_epoch_are_returned(
    select: Literal["best", "last"], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs 2 and 4 have the same highest score; "best" returns the weights of the earlier one."""
    t = trainer(TINY.model_copy(update={"epochs": 4, "select": select}))
    scores = iter([0.25, 0.75, 0.5, 0.75])
    monkeypatch.setattr(loop, "loss_and_macro_f1", lambda *_: (1.0, next(scores)))
    weights_by_epoch: list[dict[str, torch.Tensor]] = []
    returned = t.run(lambda: weights_by_epoch.append(copy.deepcopy(t.ema_network.state_dict())))
    equal = [equal_weights(returned, weights) for weights in weights_by_epoch]
    assert equal == [epoch == kept for epoch in (1, 2, 3, 4)]
    if select == "best":
        assert t.progress.best_epoch == kept


def test_every_third_and_the_last_epoch_are_validated_and_all_if_the_best_is_selected() -> None:
    def validated_epochs(select: str) -> list[int]:
        t = trainer(TINY.model_copy(update={"epochs": 7, "select": select}))
        t.run(lambda: None)
        assert [h["epoch"] for h in t.progress.history] == list(range(1, 8))
        return [int(h["epoch"]) for h in t.progress.history if not np.isnan(h["validation_loss"])]

    assert validated_epochs("last") == [3, 6, 7]
    assert validated_epochs("best") == list(range(1, 8))


def test_learning_rate_schedules() -> None:
    step = trainer(TrainSettings(architecture="cnn_transformer", d_model=8, epochs=11, batch_size=8))
    rates = [step._learning_rate(epoch * step.steps_per_epoch) for epoch in (0, 4, 5, 10)]
    np.testing.assert_allclose(rates, [3e-4, 3e-4, 1.5e-4, 0.75e-4])
    one_cycle = trainer(TrainSettings(width=4, epochs=10, batch_size=8, warmup=0.1))
    rates = [one_cycle._learning_rate(s) for s in range(10 * one_cycle.steps_per_epoch)]
    assert int(np.argmax(rates)) == pytest.approx(one_cycle.steps_per_epoch, abs=1)
    assert max(rates) == pytest.approx(3e-3)
    assert one_cycle.steps_per_epoch == 5
    assert (rates[27] + rates[28]) / 2 == pytest.approx(1.5e-3)  # the middle of the cosine, which starts at step 5
    assert rates[-1] < 1e-5


def test_mixing_adds_powers_and_mixes_targets_with_the_same_weights() -> None:
    settings = TrainSettings(
        outputs="softmax", roll=False, gain_db=0, equaliser_db=0, mask_probability=0, mix_probability=1
    )
    x = torch.log(torch.tensor([1.0, 3.0])).reshape(2, 1, 1, 1).expand(2, 1, 4, 6)
    for seed in range(20):
        mixed, (target, known) = augment(x, known_targets(torch.eye(2)), settings, np.random.default_rng(seed), Log())
        assert known.all()
        power = torch.exp(mixed[:, 0, 0, 0])
        torch.testing.assert_close(power, target @ torch.tensor([1.0, 3.0]))
        torch.testing.assert_close(target.sum(1), torch.ones(2))


def test_augmentation_of_magnitudes_equals_that_of_log_mel_of_the_same_audio() -> None:
    """The shift in time, gain, equaliser and mixing are covered; silence stays finite."""
    settings = TrainSettings(mask_probability=0)
    log_mel, y = torch.randn(6, 1, 64, 20) - 5, known_targets(torch.eye(6))
    scaling = Magnitude(0.5)
    a, ya = augment(log_mel, y, settings, np.random.default_rng(1), Log())
    b, yb = augment(torch.exp(0.25 * log_mel), y, settings, np.random.default_rng(1), scaling)
    torch.testing.assert_close(torch.exp(0.25 * a), b)
    assert all(map(torch.equal, ya, yb))
    silent, _ = augment(torch.zeros(6, 1, 64, 20), y, settings, np.random.default_rng(1), scaling)
    assert silent.max() < 0.01


def test_pcen_values_are_mixed_linearly_and_masked_with_the_value_of_silence() -> None:
    pcen = Pcen(MelSettings(front_end="pcen"))
    settings = TrainSettings(outputs="softmax", roll=False, mask_probability=0, mix_probability=1)
    x = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 6)
    mixed, (target, _) = augment(x, known_targets(torch.eye(2)), settings, np.random.default_rng(0), pcen)
    torch.testing.assert_close(mixed[:, 0, 0, 0], target @ torch.tensor([1.0, 3.0]))
    masked, _ = augment(
        torch.ones(2, 1, 64, 157),
        known_targets(torch.eye(2)),
        TrainSettings(mask_probability=1, mix_probability=0),
        np.random.default_rng(0),
        pcen,
    )
    assert sorted(set(masked.flatten().tolist())) == [0.0, 1.0]


def test_augmentation_keeps_shapes_and_depends_only_on_its_generator() -> None:
    settings = TrainSettings(mask_probability=1.0)
    x, y = torch.randn(5, 1, 64, 157) - 8, known_targets(torch.eye(5))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    a, ya = augment(x, y, settings, np.random.default_rng(1), Log())
    assert torch.equal(torch.get_rng_state(), state)
    b, yb = augment(x, y, settings, np.random.default_rng(1), Log())
    assert a.shape == x.shape
    assert torch.equal(a, b)
    assert all(map(torch.equal, ya, yb))
    assert (a == np.float32(np.log(POWER_FLOOR))).any()


def test_a_roll_shifts_all_bands_of_a_window_by_the_same_random_number_of_frames() -> None:
    settings = TrainSettings(gain_db=0, equaliser_db=0, mask_probability=0, mix_probability=0)
    one = torch.arange(10.0) + 100 * torch.arange(3)[:, None]  # shape (bands, frames); all cells differ
    x = one.expand(200, 1, 3, 10)
    rolled, _ = augment(x, known_targets(torch.ones(200, 1)), settings, np.random.default_rng(4), Log())
    shifts = rolled[:, 0, 0, 0].int().tolist()  # the frame that is now the first one
    assert set(shifts) == set(range(10))
    for found, shift in zip(rolled, shifts, strict=True):
        assert torch.equal(found[0], torch.roll(one, -shift, dims=1))
    off = settings.model_copy(update={"roll": False})
    assert torch.equal(augment(x, known_targets(torch.ones(200, 1)), off, np.random.default_rng(4), Log())[0], x)


def test_samplers_give_species_and_recordings_the_documented_probabilities() -> None:
    label = np.array([0] * 90 + [1] * 10)
    recording = np.array([0] * 80 + [1] * 10 + [2] * 10)
    weighted = np.bincount(label, sampling_probabilities(one_hot(label), recording, "weighted"))
    np.testing.assert_allclose(weighted, [0.5, 0.5])
    balanced = sampling_probabilities(one_hot(label), recording, "balanced")
    np.testing.assert_allclose(np.bincount(label, balanced), np.sqrt([90, 10]) / np.sqrt([90, 10]).sum())
    recordings = sampling_probabilities(one_hot(label), recording, "recordings")
    np.testing.assert_allclose(np.bincount(recording, recordings), [0.25, 0.25, 0.5])
    assert len(set(recordings[:80])) == 1
    of_recording = np.bincount(recording, balanced)
    assert of_recording[0] / of_recording[1] == pytest.approx(np.sqrt(8))
    dataset = windows(10)
    uniform = TINY.model_copy(update={"sampler": "uniform"})
    assert sorted(epoch_order(dataset, uniform, np.random.default_rng(0))) == list(range(10))
    assert len(epoch_order(dataset, TINY, np.random.default_rng(0))) == 10
    zeros, second = np.zeros(1000, np.int64), np.arange(1000) // 900
    many = WindowDataset(dataset.shards, zeros, zeros, single_species(second, 2), np.arange(1000), 40)
    for sampler, share in (("uniform", 0.1), ("weighted", 0.5), ("balanced", 0.25)):
        settings = TINY.model_copy(update={"sampler": sampler})
        drawn = [second[epoch_order(many, settings, np.random.default_rng(seed))].mean() for seed in range(20)]
        assert np.mean(drawn) == pytest.approx(share, abs=0.02), sampler


def test_in_a_recording_of_several_species_the_windows_of_each_count_on_their_own() -> None:
    """Annotated recordings: species 1 has 10 of the 100 windows of one recording, and all 10 windows of another."""
    label = np.array([0] * 90 + [1] * 10 + [1] * 10)
    recording = np.array([0] * 100 + [1] * 10)
    for sampler in ("recordings", "balanced"):
        of_species = sampling_probabilities(one_hot(label), recording, sampler)[90:]
        np.testing.assert_allclose(of_species, of_species[0])


def test_negatives_have_their_share_and_windows_of_several_species_the_sum_of_theirs() -> None:
    present = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, 0], [0, 0], [0, 0]], bool)
    recording = np.array([0, 1, 2, 3, 4, 4, 5])
    found = sampling_probabilities(present, recording, "recordings", 0.2)
    third, half = 0.4 / 3, 0.4 / 2
    np.testing.assert_allclose(found, [third, third, third + half, half, 0.05, 0.05, 0.1])
    np.testing.assert_allclose(sampling_probabilities(present, recording, "uniform", 0.2), np.full(7, 1 / 7))
    np.testing.assert_allclose(sampling_probabilities(present[:4], recording[:4], "recordings", 0.2).sum(), 1)
    np.testing.assert_allclose(sampling_probabilities(present[4:], recording[4:], "recordings", 0.2), [0.25, 0.25, 0.5])
    assert not sampling_probabilities(present, recording, "recordings")[4:].any()


def test_a_missing_gpu_is_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AutobirdError, match=r"train\.device"):
        select_precision(TrainSettings(device="cuda"))
    assert select_precision(TrainSettings(precision="float32")) == CPU


@pytest.mark.parametrize(
    ("amx", "usable", "dtype"),
    [
        (True, True, torch.bfloat16),
        (True, False, torch.float32),
        (False, True, torch.float32),
        (None, True, torch.float32),
    ],
)
def test_a_cpu_trains_in_bfloat16_only_with_amx(
    amx: bool | None, usable: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"avx512_bf16": True} | ({} if amx is None else {"amx_bf16": amx})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: usable)
    assert select_precision(TrainSettings(device="cpu")).dtype == dtype


def test_every_architecture_but_the_head_is_registered() -> None:
    assert {*ARCHITECTURES, "head"} == {*get_args(TrainSettings.model_fields["architecture"].annotation)}


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_networks_map_log_mel_to_one_logit_per_species(architecture: str) -> None:
    torch.manual_seed(0)
    network = build_network(TrainSettings(architecture=architecture, centre_bands=False), 7, -8.0, 3.0).eval()
    x = 3 * torch.randn(2, 1, 64, 157) - 8
    with torch.no_grad():
        found = network(x)
        network.normalise = torch.nn.Identity()  # the network itself normalises log-mel to (x + 8) / 3
        torch.testing.assert_close(found, network((x + 8) / 3))
        assert (found - network(x)).abs().max() > 0.01
    assert found.shape == (2, 7)
    assert 50_000 < sum(p.numel() for p in network.parameters()) < 400_000


def test_the_level_and_the_frequency_response_of_a_recorder_do_not_change_the_logits_of_resnet() -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(2, 1, 64, 157) - 8
    response = torch.linspace(-5, 2, 64)[None, None, :, None]
    with torch.no_grad():
        for centre_bands in (True, False):
            network = build_network(TrainSettings(centre_bands=centre_bands), 7, -8.0, 3.0).eval()
            changes = (network(x + response) - network(x)).abs().max()
            assert (changes < 1e-4) == centre_bands


def test_the_padding_of_a_short_recording_does_not_change_the_means_of_the_bands() -> None:
    torch.manual_seed(0)
    floor, normalise = float(np.log(POWER_FLOOR)), Normalise(-8.0, 3.0, centre_bands=True)
    x = 2 * torch.randn(2, 1, 64, 157) - 6
    short = x.clone()
    short[..., 60:] = floor
    found = normalise(short)
    torch.testing.assert_close(found[..., :60], normalise(x[..., :60]), rtol=0, atol=1e-5)
    assert (found[..., 60:] < found[..., :60].mean() - 1).all()
    assert normalise(torch.full((1, 1, 64, 157), floor)).abs().max() < 1e-5


def test_a_network_of_an_older_version_does_not_centre_the_bands(tmp_path: Path) -> None:
    older = TrainSettings(centre_bands=False)
    network = build_network(older, 2, -8.0, 3.0)
    safetensors.torch.save_file(network.state_dict(), tmp_path / "weights.safetensors")
    model = {"labels": ["a", "b"], "normalisation": {"mean": -8.0, "std": 3.0}, "train": older.model_dump()}
    del model["train"]["centre_bands"]
    loaded, settings = load_trained(model, tmp_path / "weights.safetensors")
    assert not settings.centre_bands
    x = 3 * torch.randn(2, 1, 64, 157) - 8
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(x), network.eval()(x))


@pytest.mark.parametrize("keys", [{}, {"crop_seconds": 0.5, "background_probability": 0.5}])
def test_runs_of_the_stage_write_the_same_bytes_and_resume_from_the_last_checkpoint(
    keys: dict[str, float], tmp_path: Path
) -> None:
    settings_of_run = TINY.model_copy(update=keys)
    n = 60
    dataset = windows(n)
    with NpyWriter(tmp_path / "0.npy", "<f2", (16,)) as out:
        out.append(dataset.shards[0])
    index = pd.DataFrame(
        {
            "recording": [f"r{i // 2:02d}" for i in range(n)], "start": np.arange(n) % 2 * 40_000,
            "split": np.array(["train", "train", "validation", "test"])[np.arange(n) // 2 % 4], "shard": 0,
            "first_frame": dataset.first_frame, "dropped": ["RMS below 0.005"] + [""] * (n - 1),
            "earliest": 0, "latest": 40_000, "rms": 0.001, "negative": np.arange(n) % 10 == 0,
            **label_columns([f"s{i % 3}" if i % 10 else "" for i in range(n)]),
        }
    )  # fmt: skip
    index.to_parquet(tmp_path / "index.parquet")
    write_json(tmp_path / "labels.json", ["s0", "s1", "s2"])
    write_json(tmp_path / "norm.json", {"mean": -8.0, "std": 2.0})
    front_end = json.dumps({"window": 39 * 512 / 16000, "hop": 0.5, "mels": 16})
    common = [
        "--index",
        str(tmp_path / "index.parquet"),
        "--shards",
        str(tmp_path / "0.npy"),
        "--log",
        str(tmp_path / "log"),
    ]
    weights = ["--weights", str(tmp_path / "run/model/w.safetensors"), "--model", str(tmp_path / "run/model/m.json")]
    weight_files = []
    (tmp_path / "one" / "of another training").mkdir(parents=True)
    for seed, (folder, resumed) in enumerate((("one", False), ("another", False), ("one", True))):
        torch.manual_seed(seed)  # the process may have any random state
        train.main(
            [*common, *weights, "--settings", settings_of_run.model_dump_json(), "--front-end", front_end, "--labels", str(tmp_path / "labels.json"),
             "--normalisation", str(tmp_path / "norm.json"), "--checkpoints", str(tmp_path / folder), "--history", str(tmp_path / "h.csv")]
        )  # fmt: skip
        weight_files.append((tmp_path / "run/model/w.safetensors").read_bytes())
        log = (tmp_path / "log").read_text()
        assert ("resumed from" in log) == resumed
        # One of 32 is left out as quiet.
        assert "31 training windows (3 of them negative), 14 validation windows, 3 species, independent outputs" in log
        assert ("backgrounds: 3 negative windows and 1 quiet ones" in log) == bool(keys)
        assert pd.read_csv(tmp_path / "h.csv")["epoch"].tolist() == [1, 2]
    assert len(set(weight_files)) == 1
    assert len(list((tmp_path / "one").iterdir())) == 1
    model = json.loads((tmp_path / "run/model/m.json").read_text())
    assert (model["epoch"], model["outputs"]) == (2, "independent")
    network, settings = load_trained(
        json.loads((tmp_path / "run/model/m.json").read_text()), tmp_path / "run/model/w.safetensors"
    )
    assert settings == settings_of_run
    assert safetensors.torch.load(weight_files[0]).keys() == network.state_dict().keys()


def test_loss_and_macro_f1_of_no_windows_are_no_numbers() -> None:
    """0 would stand in the log, the history and the learning curves like a measured value."""
    some = windows(3)
    none = WindowDataset(
        some.shards,
        some.shard[:0],
        some.first_frame[:0],
        single_species(np.zeros(0, np.int64), 3),
        some.recording[:0],
        some.frames,
    )
    assert np.isnan(loss_and_macro_f1(build_network(TINY, 3, 0, 1), none, TINY, CPU)).all()
    make_deterministic(1)
    t = Trainer(build_network(TINY, 3, -8.0, 2.0), windows(), none, TINY, CPU)
    assert t.run(lambda: None)
    assert all(np.isnan([h["validation_loss"], h["validation_macro_f1"]]).all() for h in t.progress.history)


def softmax_arguments(folder: Path, species: list[tuple[str, ...]]) -> Namespace:
    """Write the inputs of a training whose windows hold these species; return them as arguments."""
    n = len(species)
    with NpyWriter(folder / "0.npy", "<f2", (16,)) as out:
        out.append(windows(n).shards[0])
    index = pd.DataFrame(
        {"recording": [f"r{i}" for i in range(n)], "start": 0, "split": "train", "shard": 0, "dropped": ""}
    )
    index["first_frame"], index["default"] = np.arange(n) * 40, "absent"
    index["present"] = [list(names) for names in species]
    index["absent"] = index["unknown"] = [[] for _ in range(n)]
    index.to_parquet(folder / "index.parquet")
    write_json(folder / "norm.json", {"mean": -8.0, "std": 2.0})
    return Namespace(
        index=folder / "index.parquet", shards=[folder / "0.npy"], normalisation=folder / "norm.json", ensemble_answers=None
    )  # fmt: skip


def test_species_that_softmax_outputs_cannot_learn_are_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each window of s2 holds another species, too, and softmax outputs are trained on windows of one species."""
    arguments = softmax_arguments(tmp_path, [("s0",), ("s1",), ("s1", "s2"), ("s0", "s2")])
    settings, labels = TINY.model_copy(update={"outputs": "softmax"}), ["s0", "s1", "s2"]
    front_end = MelSettings(window=39 * 512 / 16000, hop=0.5, mels=16)
    t = train.trainer_of(arguments, settings, front_end, labels, None)
    assert len(t.train) == 2
    [message] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert message.startswith("no training window holds s2 as its only species")
    caplog.clear()
    train.trainer_of(arguments, TINY, front_end, labels, None)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_training_split_without_windows_of_one_species_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    arguments = softmax_arguments(tmp_path, [("s0", "s1"), ("s1", "s2")])
    settings = TINY.model_copy(update={"outputs": "softmax"})
    front_end = MelSettings(window=39 * 512 / 16000, hop=0.5, mels=16)
    with pytest.raises(AutobirdError, match=r"the train split has none; set train\.outputs to independent$"):
        train.trainer_of(arguments, settings, front_end, ["s0", "s1", "s2"], None)


def test_after_sigterm_the_log_does_not_say_that_a_checkpoint_was_saved_if_it_was_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bucket that cannot be written does not stop the training."""
    t = trainer()
    checkpointer = Checkpointer("memory://checkpoints", "x", t)
    files = checkpointer._store._files  # type: ignore[attr-defined]

    def fail(*_: object) -> None:
        raise OSError("no permission")

    monkeypatch.setattr(files, "pipe_file", fail)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        t.run(lambda: None, checkpointer.after_step)
    assert "was not written (no permission)" in caplog.text
    assert "SIGTERM: stopped without a new checkpoint" in caplog.text
    assert "checkpoint saved" not in caplog.text
    monkeypatch.undo()
    with pytest.raises(SystemExit):
        t.run(lambda: None, checkpointer.after_step)
    assert "SIGTERM: checkpoint saved in memory://checkpoints/x" in caplog.text


def test_seeds_that_torch_cannot_use_are_refused_by_the_settings() -> None:
    torch.manual_seed(TrainSettings(seed=MAX_SEED).seed)
    for keys in ({"seed": MAX_SEED + 1}, {"seeds": [4, MAX_SEED + 1]}):
        with pytest.raises(AutobirdError, match=r"train\.seed.*9223372036854775808 is not valid"):
            load_config({"train": keys})


def test_a_training_with_any_other_input_does_not_resume_from_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = softmax_arguments(tmp_path, [("s0",), ("s1",), ("s0",)])
    index = pd.read_parquet(arguments.index).assign(earliest=0, latest=0, rms=0.1, negative=False)
    answers = pd.DataFrame({"recording": ["r0", "r1", "r2"], "start": 0, "logits": [[0.0, 1.0]] * 3})
    texts = {
        "settings": TINY.model_dump_json(),
        "front-end": json.dumps({"window": 39 * 512 / 16000, "hop": 0.5, "mels": 16}),
        "code": "one",
    }
    files = {
        "index": "index.parquet", "labels": "labels.json", "normalisation": "norm.json", "shards": "0.npy", "ensemble-answers": "answers",
        "checkpoints": "c", "weights": "w", "model": "m", "history": "h", "log": "log",
    }  # fmt: skip
    ids: list[str] = []

    def stop(_: str, identifier: str, __: Trainer) -> None:
        ids.append(identifier)
        raise InterruptedError

    def identify() -> None:
        options = [f"--{name}={text}" for name, text in texts.items()]
        with pytest.raises(InterruptedError):
            train.main([*options, *(f"--{name}={tmp_path / file}" for name, file in files.items())])

    def shard(seed: int) -> None:
        with NpyWriter(tmp_path / "0.npy", "<f2", (16,)) as out:
            out.append(windows(3, seed=seed).shards[0])

    monkeypatch.setattr(train, "Checkpointer", stop)
    index.to_parquet(arguments.index)
    write_json(tmp_path / "labels.json", ["s0", "s1"])
    answers.to_parquet(tmp_path / "answers")
    identify()
    identify()
    assert ids[0] == ids[1]
    changes: dict[str, Callable[[], object]] = {
        "settings": lambda: texts.update(settings=TINY.model_copy(update={"gamma": 0.25}).model_dump_json()),
        "front end": lambda: texts.update({"front-end": texts["front-end"].replace("0.5", "0.25")}),
        "code": lambda: texts.update(code="two"),
        "index": lambda: index.assign(rms=0.2).to_parquet(arguments.index),
        "labels": lambda: write_json(tmp_path / "labels.json", ["s1", "s0"]),
        "normalisation": lambda: write_json(tmp_path / "norm.json", {"mean": -8.0, "std": 3.0}),
        "shards": lambda: shard(1),
        "answers": lambda: answers.assign(logits=[[0.0, 2.0]] * 3).to_parquet(tmp_path / "answers"),
        "number format": lambda: monkeypatch.setattr(train, "select_precision", lambda _: Compute(CPU.device, torch.float16)),
    }  # fmt: skip
    for name, change in changes.items():
        change()
        identify()
        assert ids[-1] not in ids[:-1], name
