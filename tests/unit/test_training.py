"""Training resumes to the bit, augments as it says, and samples as it says."""

import copy
import json
import signal
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from autobird.audio.amplitude_scaling import POWER_FLOOR, Log, Magnitude, Pcen
from autobird.audio.npy import NpyWriter
from autobird.audio.settings import MelSettings
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.tables import write_table
from autobird.corpus.schemas import INDEX
from autobird.model import loop, train
from autobird.model.augment import augment
from autobird.model.checkpoint import Checkpoints, fingerprint
from autobird.model.data import Windows, epoch_order, sampling_weights
from autobird.model.loop import Trainer, evaluate_windows
from autobird.model.networks import build
from autobird.model.precision import Compute, choose, deterministic
from autobird.model.settings import TrainSettings
from autobird.model.trained import load

CPU = Compute(torch.device("cpu"), torch.float32)
TINY = TrainSettings(width=4, epochs=2, batch_size=8, threads=1)


def windows(n: int = 40, species: int = 3, seed: int = 0) -> Windows:
    """Windows whose species is a bright band of its own."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % species
    frames = rng.normal(-9, 1, (n, 40, 16)).astype(np.float16)
    for i, s in enumerate(label):
        frames[i, :, 2 + 4 * s : 5 + 4 * s] += 4
    return Windows([frames.reshape(-1, 16)], np.zeros(n, np.int64), np.arange(n) * 40, label, np.arange(n) // 2, 40)


def trainer(settings: TrainSettings = TINY) -> Trainer:
    deterministic(1)
    torch.manual_seed(0)
    return Trainer(build(settings, 3, -8.0, 2.0), windows(), windows(12, seed=1), 3, settings, CPU)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    "settings", [TINY, TrainSettings(architecture="cnn_transformer", d_model=8, epochs=2, batch_size=8, threads=1)]
)
@pytest.mark.parametrize("steps", [1, 5, 7])
def test_a_training_that_was_killed_ends_with_the_same_weights(
    settings: TrainSettings, steps: int, tmp_path: Path
) -> None:
    whole = trainer(settings).run(lambda: None)
    first = trainer(settings)
    done = iter(range(steps))

    def stop() -> None:
        if next(done, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(lambda: None, stop)
    Checkpoints(str(tmp_path), "x", first).save()
    second = trainer(settings)
    torch.manual_seed(99)  # whatever state the new process is in
    Checkpoints(str(tmp_path), "x", second).resume()
    assert second.at.step or second.at.epoch
    assert same(second.run(lambda: None), whole)


def test_sigterm_saves_after_the_step_and_ends_with_143(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        t = trainer()
        checkpoints = Checkpoints(str(tmp_path), "x", t)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit) as end:
            t.run(lambda: None, checkpoints.after_step)
        assert end.value.code == 143
        assert (tmp_path / "x/checkpoint.pt").exists()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path), "x", trainer())
    (tmp_path / "x").mkdir()
    (tmp_path / "x/checkpoint.pt").write_bytes(b"half a file")
    checkpoints.resume()
    assert checkpoints.trainer.at.epoch == 0


def test_checkpoints_are_named_by_code_settings_and_data(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"1")
    first = fingerprint(["a", "b"], [file])
    assert first != fingerprint(["ab", ""], [file])
    file.write_bytes(b"2")
    assert first != fingerprint(["a", "b"], [file])


def test_it_learns_what_can_be_learnt() -> None:
    settings = TINY.model_copy(update={"epochs": 12, "mix_probability": 0.0, "ema_decay": 0.9})
    t = trainer(settings)
    t.run(lambda: None)
    assert t.at.history[-1]["validation_macro_f1"] > 0.9
    assert t.at.history[-1]["train_loss"] < t.at.history[0]["train_loss"]


@pytest.mark.parametrize(("select", "kept"), [("best", 2), ("last", 4)])
def test_the_weights_of_the_selected_epoch_are_returned(
    select: Literal["best", "last"], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs 2 and 4 have the same highest score; "best" returns the weights of the earlier one."""
    t = trainer(TINY.model_copy(update={"epochs": 4, "select": select}))
    scores = iter([0.25, 0.75, 0.5, 0.75])
    monkeypatch.setattr(loop, "evaluate_windows", lambda *_: (1.0, next(scores)))
    after: list[dict[str, torch.Tensor]] = []
    returned = t.run(lambda: after.append(copy.deepcopy(t.average.state_dict())))
    assert [same(returned, weights) for weights in after] == [epoch == kept for epoch in (1, 2, 3, 4)]
    if select == "best":
        assert t.at.best_epoch == kept


def test_validation_is_watched_every_third_epoch_and_after_the_last_unless_it_chooses() -> None:
    def watched(select: str) -> list[int]:
        t = trainer(TINY.model_copy(update={"epochs": 7, "select": select}))
        t.run(lambda: None)
        assert [h["epoch"] for h in t.at.history] == list(range(1, 8))
        return [int(h["epoch"]) for h in t.at.history if not np.isnan(h["validation_loss"])]

    assert watched("last") == [3, 6, 7]
    assert watched("best") == list(range(1, 8))


def test_schedules_are_what_they_say() -> None:
    step = trainer(TrainSettings(architecture="cnn_transformer", d_model=8, epochs=11, batch_size=8))
    rates = [step._rate(epoch * step.steps) for epoch in (0, 4, 5, 10)]
    np.testing.assert_allclose(rates, [3e-4, 3e-4, 1.5e-4, 0.75e-4])
    one = trainer(TrainSettings(width=4, epochs=10, batch_size=8, warmup=0.1))
    rates = [one._rate(s) for s in range(10 * one.steps)]
    assert int(np.argmax(rates)) == pytest.approx(one.steps, abs=1)
    assert max(rates) == pytest.approx(3e-3)
    assert one.steps == 5
    assert (rates[27] + rates[28]) / 2 == pytest.approx(1.5e-3)  # halfway down the cosine, which begins at step 5
    assert rates[-1] < 1e-5


def test_mixing_adds_powers_and_shares_labels() -> None:
    settings = TrainSettings(roll=False, gain_db=0, equaliser_db=0, mask_probability=0, mix_probability=1)
    x = torch.log(torch.tensor([1.0, 3.0])).reshape(2, 1, 1, 1).expand(2, 1, 4, 6)
    y = torch.eye(2)
    for seed in range(20):
        mixed, target = augment(x, y, settings, np.random.default_rng(seed), Log())
        power = torch.exp(mixed[:, 0, 0, 0])
        torch.testing.assert_close(power, target @ torch.tensor([1.0, 3.0]))
        torch.testing.assert_close(target.sum(1), torch.ones(2))


def test_magnitudes_are_augmented_as_the_sound_they_stand_for() -> None:
    """Gain, equaliser and mixing give what log-mel of the same sound gives; silence stays finite."""
    settings = TrainSettings(mask_probability=0)
    log_mel, y = torch.randn(6, 1, 64, 20) - 5, torch.eye(6)
    scaling = Magnitude(0.5)
    a, ya = augment(log_mel, y, settings, np.random.default_rng(1), Log())
    b, yb = augment(torch.exp(0.25 * log_mel), y, settings, np.random.default_rng(1), scaling)
    torch.testing.assert_close(torch.exp(0.25 * a), b)
    assert torch.equal(ya, yb)
    silent, _ = augment(torch.zeros(6, 1, 64, 20), y, settings, np.random.default_rng(1), scaling)
    assert silent.max() < 0.01


def test_pcen_is_mixed_as_it_is_and_masked_with_its_silence() -> None:
    pcen = Pcen(MelSettings(front_end="pcen"))
    settings = TrainSettings(roll=False, mask_probability=0, mix_probability=1)
    x = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 6)
    mixed, target = augment(x, torch.eye(2), settings, np.random.default_rng(0), pcen)
    torch.testing.assert_close(mixed[:, 0, 0, 0], target @ torch.tensor([1.0, 3.0]))
    masked, _ = augment(
        torch.ones(2, 1, 64, 157),
        torch.eye(2),
        TrainSettings(mask_probability=1, mix_probability=0),
        np.random.default_rng(0),
        pcen,
    )
    assert sorted(set(masked.flatten().tolist())) == [0.0, 1.0]


def test_augmentation_keeps_shapes_and_repeats_with_its_generator() -> None:
    settings = TrainSettings(mask_probability=1.0)
    x, y = torch.randn(5, 1, 64, 157) - 8, torch.eye(5)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    a, ya = augment(x, y, settings, np.random.default_rng(1), Log())
    assert torch.equal(torch.get_rng_state(), before)
    b, yb = augment(x, y, settings, np.random.default_rng(1), Log())
    assert a.shape == x.shape
    assert torch.equal(a, b)
    assert torch.equal(ya, yb)
    assert (a == np.float32(np.log(POWER_FLOOR))).any()


def test_a_roll_shifts_all_bands_of_a_window_in_time_by_a_random_number_of_frames() -> None:
    settings = TrainSettings(gain_db=0, equaliser_db=0, mask_probability=0, mix_probability=0)
    one = torch.arange(10.0) + 100 * torch.arange(3)[:, None]  # bands by frames, every cell another value
    x = one.expand(200, 1, 3, 10)
    rolled, _ = augment(x, torch.ones(200, 1), settings, np.random.default_rng(4), Log())
    shifts = rolled[:, 0, 0, 0].int().tolist()  # the frame that has become the first one
    assert set(shifts) == set(range(10))
    for found, shift in zip(rolled, shifts, strict=True):
        assert torch.equal(found[0], torch.roll(one, -shift, dims=1))
    off = settings.model_copy(update={"roll": False})
    assert torch.equal(augment(x, torch.ones(200, 1), off, np.random.default_rng(4), Log())[0], x)


def test_samplers_balance_as_they_say() -> None:
    label = np.array([0] * 90 + [1] * 10)
    recording = np.array([0] * 80 + [1] * 10 + [2] * 10)
    weighted = np.bincount(label, sampling_weights(label, recording, "weighted"))
    np.testing.assert_allclose(weighted, [0.5, 0.5])
    balanced = sampling_weights(label, recording, "balanced")
    np.testing.assert_allclose(np.bincount(label, balanced), np.sqrt([90, 10]) / np.sqrt([90, 10]).sum())
    by_recording = np.bincount(recording, balanced)
    assert by_recording[0] / by_recording[1] == pytest.approx(np.sqrt(8))
    w = windows(10)
    assert sorted(epoch_order(w, "uniform", np.random.default_rng(0))) == list(range(10))
    assert len(epoch_order(w, "balanced", np.random.default_rng(0))) == 10
    many = Windows(
        w.shards, np.zeros(1000, np.int64), np.zeros(1000, np.int64), np.arange(1000) // 900, np.arange(1000), 40
    )
    for sampler, share in (("uniform", 0.1), ("weighted", 0.5), ("balanced", 0.25)):
        drawn = [many.label[epoch_order(many, sampler, np.random.default_rng(seed))].mean() for seed in range(20)]
        assert np.mean(drawn) == pytest.approx(share, abs=0.02), sampler


def test_a_gpu_that_is_not_there_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(AutobirdError, match=r"train\.device"):
        choose(TrainSettings(device="cuda"))
    assert choose(TrainSettings(precision="float32")) == CPU


@pytest.mark.parametrize("architecture", ["resnet", "cnn_transformer"])
def test_networks_take_plain_log_mel(architecture: str) -> None:
    torch.manual_seed(0)
    network = build(TrainSettings(architecture=architecture), 7, -8.0, 3.0).eval()
    x = 3 * torch.randn(2, 1, 64, 157) - 8
    with torch.no_grad():
        found = network(x)
        network.normalise = torch.nn.Identity()  # (x + 8) / 3 is what the network itself makes of log-mel
        torch.testing.assert_close(found, network((x + 8) / 3))
        assert (found - network(x)).abs().max() > 0.01
    assert found.shape == (2, 7)
    assert 50_000 < sum(p.numel() for p in network.parameters()) < 400_000


def test_the_stage_trains_end_to_end_to_the_same_bytes_and_resumes_from_its_last_checkpoint(tmp_path: Path) -> None:
    n = 60
    w = windows(n)
    with NpyWriter(tmp_path / "0.npy", "<f2", (16,)) as out:
        out.append(w.shards[0])
    index = pd.DataFrame(
        {
            "recording": [f"r{i // 2:02d}" for i in range(n)], "start": np.arange(n) % 2 * 40_000,
            "species": [f"s{x}" for x in w.label], "split": np.array(["train", "train", "validation", "test"])[np.arange(n) // 2 % 4],
            "group": "", "shard": 0, "first_frame": w.first, "rms": 0.1, "mel_std": 1.0, "dropped": ["quiet"] + [""] * (n - 1),
            "quiet": [True] + [False] * (n - 1), "present": [[f"s{x}"] for x in w.label], "complete": True,
            "recording_species": [[f"s{x}"] for x in w.label], "recording_complete": True, "recording_split": "",
        }
    )  # fmt: skip
    write_table(tmp_path / "index.parquet", index, INDEX)
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
    before = signal.getsignal(signal.SIGTERM)
    blobs = []
    (tmp_path / "one" / "of another training").mkdir(parents=True)
    for number, (place, resumed) in enumerate((("one", False), ("another", False), ("one", True))):
        torch.manual_seed(number)  # whatever state the process is in
        train.main(
            [*common, *weights, "--settings", TINY.model_dump_json(), "--front-end", front_end, "--labels", str(tmp_path / "labels.json"),
             "--normalisation", str(tmp_path / "norm.json"), "--checkpoints", str(tmp_path / place), "--history", str(tmp_path / "h.csv")]
        )  # fmt: skip
        blobs.append((tmp_path / "run/model/w.safetensors").read_bytes())
        log = (tmp_path / "log").read_text()
        assert ("resumed from" in log) == resumed
        assert "31 windows to train on, 14 to validate, 3 species" in log  # one of 32 is left out as quiet
        assert pd.read_csv(tmp_path / "h.csv")["epoch"].tolist() == [1, 2]
    signal.signal(signal.SIGTERM, before)
    assert len(set(blobs)) == 1
    assert len(list((tmp_path / "one").iterdir())) == 1
    assert json.loads((tmp_path / "run/model/m.json").read_text())["epoch"] == 2
    network, settings = load(
        json.loads((tmp_path / "run/model/m.json").read_text()), tmp_path / "run/model/w.safetensors"
    )
    assert settings == TINY
    assert safetensors.torch.load(blobs[0]).keys() == network.state_dict().keys()


def test_no_windows_score_nothing() -> None:
    w = windows(3)
    none = Windows(w.shards, w.shard[:0], w.first[:0], w.label[:0], w.recording[:0], w.frames)
    assert evaluate_windows(build(TINY, 3, 0, 1), none, 3, CPU) == (0.0, 0.0)
