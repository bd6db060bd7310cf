"""Losses of label sets: hand-computed values, cells that are not known, unions of mixtures, and trainings with negatives."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch.nn import functional as F

from autobird.audio.amplitude_scaling import Log
from autobird.core.errors import AutobirdError
from autobird.dataset.label_sets import LabelSets
from autobird.model import validation
from autobird.model.augment import AUDIBLE_NATS
from autobird.model.data import WindowDataset, epoch_order, expected_presence, windows_per_epoch
from autobird.model.loop import Trainer
from autobird.model.losses import Targets, binary_loss, label_loss
from autobird.model.networks import build_network, set_initial_bias
from autobird.model.outputs import check_outputs
from autobird.model.precision import make_deterministic
from autobird.model.settings import TrainSettings
from autobird.model.validation import loss_and_macro_f1, predict_logits
from tests.augmented import augment
from tests.unit.test_training import CPU, SONG, equal_weights, known_targets, windows

LOSSES = ("bce", "focal", "asymmetric")
TINY = TrainSettings(width=4, epochs=2, batch_size=8, threads=1)
PLAIN = {"roll": False, "gain_db": 0, "equaliser_db": 0, "mask_probability": 0}


def one_cell(loss: str, p: float, target: float, smoothing: float = 0.0) -> float:
    logit = torch.tensor([[math.log(p / (1 - p))]], dtype=torch.float64)
    return float(binary_loss(logit, known_targets(torch.tensor([[target]], dtype=torch.float64)), loss, smoothing))


@pytest.mark.parametrize(
    ("loss", "present", "absent"),
    [
        ("bce", -math.log(0.8), -math.log(0.2)),
        ("focal", -(0.2**2) * math.log(0.8), -(0.8**2) * math.log(0.2)),
        ("asymmetric", -math.log(0.8), -(0.75**4) * math.log(0.25)),
    ],
)
def test_the_losses_of_a_present_and_an_absent_species_are_those_of_the_papers(
    loss: str, present: float, absent: float
) -> None:
    """Probability 0.8. Focal: gamma 2; asymmetric: gamma- 4, margin 0.05."""
    assert one_cell(loss, 0.8, 1.0) == pytest.approx(present)
    assert one_cell(loss, 0.8, 0.0) == pytest.approx(absent)


def test_the_asymmetric_loss_of_a_very_unlikely_absent_species_is_zero() -> None:
    assert one_cell("asymmetric", 0.04, 0.0) == 0
    assert one_cell("bce", 0.04, 0.0) > 0


def test_the_loss_is_a_sum_over_the_species_and_a_mean_over_the_windows() -> None:
    z = torch.randn(6, 4, dtype=torch.float64)
    y = (torch.randn(6, 4) > 0).double()
    smoothed = 0.9 * y + 0.1 / 4
    expected = F.binary_cross_entropy_with_logits(z, smoothed, reduction="sum") / 6
    torch.testing.assert_close(binary_loss(z, known_targets(y), "bce", 0.1), expected)


def test_smoothing_leaves_room_for_doubt_in_a_detector_of_one_species() -> None:
    assert one_cell("bce", 0.95, 1.0, 0.1) < one_cell("bce", 0.99, 1.0, 0.1)
    assert one_cell("bce", 0.05, 0.0, 0.1) < one_cell("bce", 0.01, 0.0, 0.1)


@pytest.mark.parametrize("species", [2, 10, 1000])
def test_the_loss_of_a_network_that_knows_the_frequencies_alone_grows_like_that_of_softmax(species: int) -> None:
    """One of S equally frequent species is present: about 1 + ln S instead of ln S."""
    z = torch.full((1, species), -math.log(species - 1), dtype=torch.float64)
    found = float(binary_loss(z, known_targets(torch.eye(species, dtype=torch.float64)[:1])))
    assert 0 < found - math.log(species) <= 1


@pytest.mark.parametrize("loss", LOSSES)
def test_cells_that_are_not_known_have_no_gradient_and_no_part_in_the_loss(loss: str) -> None:
    z = torch.tensor([[0.3, -80.0], [2.0, 1.0]], requires_grad=True)
    targets = Targets(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.tensor([[True, False], [False, False]]))
    value = binary_loss(z, targets, loss, 0.1)
    value.backward()
    assert z.grad is not None
    assert z.grad[0, 0] != 0
    assert not z.grad[0, 1]
    assert not z.grad[1].any()
    assert float(value.detach()) == pytest.approx(
        float(binary_loss(z[:1, :1].detach(), known_targets(torch.tensor([[0.9 + 0.1 / 2]])), loss)) / 2
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_the_losses_of_certain_wrong_answers_are_finite_and_have_a_gradient(loss: str) -> None:
    z = torch.tensor([[60.0, -60.0]], requires_grad=True)
    binary_loss(z, known_targets(torch.tensor([[0.0, 1.0]])), loss).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_softmax_has_the_cross_entropy_of_torch() -> None:
    z, y = torch.randn(5, 3), torch.softmax(torch.randn(5, 3), 1)
    settings = TrainSettings(outputs="softmax", label_smoothing=0.1)
    assert torch.equal(label_loss(z, known_targets(y), settings), F.cross_entropy(z, y, label_smoothing=0.1))
    independent = TrainSettings(label_smoothing=0.1, loss="focal")
    assert torch.equal(label_loss(z, known_targets(y), independent), binary_loss(z, known_targets(y), "focal", 0.1))


# ---- Mixtures.


def mixtures(levels_db: list[float], targets: Targets) -> tuple[torch.Tensor, Targets, torch.Tensor]:
    """Mix windows of constant power; return the difference of the second part's level, dB, the targets, and the partners."""
    rows = len(levels_db)
    x = (torch.tensor(levels_db) * math.log(10) / 10).reshape(rows, 1, 1, 1).expand(rows, 1, 4, 6)
    settings = TrainSettings(**(PLAIN | {"mix_probability": 1}))
    mixed, found = augment(x, targets, settings, np.random.default_rng(1), Log())
    partner = torch.from_numpy(np.random.default_rng(1).permutation(rows))
    own, other = torch.tensor(levels_db), torch.tensor(levels_db)[partner]
    total = 10 ** (mixed[:, 0, 0, 0] / math.log(10))
    weight = (total - 10 ** (other / 10)) / (10 ** (own / 10) - 10 ** (other / 10))
    return other - own + 10 * torch.log10((1 - weight) / weight), found, partner


def test_a_mixture_holds_the_species_of_both_parts_unless_one_is_much_quieter() -> None:
    rng = np.random.default_rng(0)
    n = 400
    present = torch.eye(n)
    difference, found, partner = mixtures(rng.uniform(-20, 20, n).tolist(), known_targets(present))
    limit = AUDIBLE_NATS * 10 / math.log(10)
    assert limit == pytest.approx(5)
    rows = torch.arange(n)
    clear = (partner != rows) & ((difference.abs() - limit).abs() > 0.1) & torch.isfinite(difference)
    assert clear.sum() > 300
    torch.testing.assert_close(found.present[rows, rows][clear], (difference <= limit).float()[clear])
    torch.testing.assert_close(found.present[rows, partner][clear], (difference >= -limit).float()[clear])
    assert found.present[clear].sum(1).min() >= 1
    assert found.known.all()


def test_what_is_unknown_in_a_part_is_unknown_in_the_mixture_unless_it_is_present_or_too_quiet() -> None:
    """Species 1 is unknown in every second window; species 0 is present in all of them, and unknown in none."""
    n = 400
    levels = np.random.default_rng(2).uniform(-20, 20, n).tolist()
    unknown = torch.arange(n) % 2 == 0
    holds = torch.arange(n) % 3 == 0
    present = torch.stack([torch.ones(n), (holds & ~unknown).float()], 1)
    known = torch.stack([torch.ones(n, dtype=torch.bool), ~unknown], 1)
    difference, found, partner = mixtures(levels, Targets(present, known))
    limit = AUDIBLE_NATS * 10 / math.log(10)
    clear = (partner != torch.arange(n)) & ((difference.abs() - limit).abs() > 0.1) & torch.isfinite(difference)
    own, other = difference <= limit, difference >= -limit
    heard = own & (present[:, 1] > 0) | other & (present[partner, 1] > 0)
    unsure = own & unknown | other & unknown[partner]
    assert found.known[:, 0].all()
    assert torch.equal(found.known[clear, 1], (heard | ~unsure)[clear])
    assert torch.equal(found.present[clear, 1] > 0, heard[clear])


def test_windows_that_are_not_mixed_keep_their_targets() -> None:
    present = torch.randint(0, 2, (50, 4))
    targets = Targets(present.float(), (torch.rand(50, 4) > 0.3) | (present > 0))
    settings = TrainSettings(**(PLAIN | {"mix_probability": 0.0}))
    _, found = augment(torch.randn(50, 1, 4, 6), targets, settings, np.random.default_rng(0), Log())
    assert all(map(torch.equal, found, targets))
    half = TrainSettings(**(PLAIN | {"mix_probability": 0.5}))
    x = torch.randn(50, 1, 4, 6)
    mixed, found = augment(x, targets, half, np.random.default_rng(0), Log())
    same = ((mixed - x).abs() < 1e-4).flatten(1).all(1)
    assert 10 < same.sum() < 40
    assert torch.equal(found.present[same], targets.present[same])
    assert torch.equal(found.known[same], targets.known[same])


# ---- Training.


def with_negatives(n: int = 60, seed: int = 0) -> WindowDataset:
    """Windows of three species, of which every fourth is negative, and some have two species or an unknown one."""
    data = windows(n, seed=seed)
    frames = data.shards[0].reshape(n, 40, 16)
    for row in range(n):
        species = row % 3
        if row % 4 == 3:
            data.labels.present[row] = False
            frames[row, SONG, 2 + 4 * species + np.arange(3)] -= 4
        elif row % 8 == 0:
            other = (species + 1) % 3
            data.labels.present[row, other] = True
            frames[row, SONG, 2 + 4 * other + np.arange(3)] += 4
        elif row % 8 == 1:
            data.labels.known[row, (species + 1) % 3] = False
    return data


def trainer(settings: TrainSettings = TINY) -> Trainer:
    make_deterministic(1)
    torch.manual_seed(0)
    return Trainer(build_network(settings, 3, -8.0, 2.0), with_negatives(), with_negatives(24, seed=1), settings, CPU)


@pytest.mark.parametrize("loss", LOSSES)
def test_species_negatives_and_mixtures_are_learnt(loss: Literal["bce", "focal", "asymmetric"]) -> None:
    t = trainer(TINY.model_copy(update={"epochs": 25, "loss": loss, "ema_decay": 0.9, "mix_probability": 0.3}))
    t.run(lambda: None)
    last = t.progress.history[-1]
    assert last["validation_macro_f1"] > 0.9
    assert last["train_top1"] > 0.8
    assert last["train_loss"] < t.progress.history[0]["train_loss"]
    z = predict_logits(t.ema_network, t.validation, CPU)
    negative = ~t.validation.labels.present.any(axis=1)
    assert z[negative].max(axis=1).mean() < z[~negative].max(axis=1).mean() - 1


@pytest.mark.parametrize("steps", [1, 9, 13])
@pytest.mark.parametrize("loss", LOSSES)
def test_an_interrupted_training_with_negatives_ends_with_the_same_weights(
    loss: Literal["bce", "focal", "asymmetric"], steps: int
) -> None:
    settings = TINY.model_copy(update={"loss": loss})
    expected = trainer(settings).run(lambda: None)
    interrupted, remaining = trainer(settings), iter(range(steps))

    def stop() -> None:
        if next(remaining, None) is None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted.run(lambda: None, stop)
    torch.manual_seed(99)
    resumed = trainer(settings)
    resumed.load_state_dict(interrupted.state_dict())
    assert equal_weights(resumed.run(lambda: None), expected)


@pytest.mark.parametrize(
    ("negatives", "share", "expected"),
    [(1, 0.2, 50), (30, 0.2, 60), (1000, 0.2, 60), (10, 0.5, 80), (1000, 0.5, 80), (0, 0.5, 40), (30, 0.0, 40)],
)
def test_an_epoch_does_not_become_longer_with_hours_of_negatives(
    negatives: int, share: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch of windows with species and few negatives has at least 60 windows here, if there are as many."""
    monkeypatch.setattr("autobird.model.data._SHORTEST_EPOCH", 60)
    few = windows(40)
    n = 40 + negatives
    labels = LabelSets(np.zeros((n, 3), bool), np.ones((n, 3), bool))
    labels.present[:40] = few.labels.present
    data = WindowDataset(few.shards, np.zeros(n, np.int64), np.zeros(n, np.int64), labels, np.arange(n), 40)
    settings = TINY.model_copy(update={"negative_share": share})
    order = epoch_order(data, settings, np.random.default_rng(0))
    assert len(order) == windows_per_epoch(data, settings) == expected
    if negatives:
        drawn = np.mean([(epoch_order(data, settings, np.random.default_rng(s)) >= 40).mean() for s in range(20)])
        assert drawn == pytest.approx(share, abs=0.05)
    uniform = settings.model_copy(update={"sampler": "uniform"})
    assert sorted(epoch_order(data, uniform, np.random.default_rng(0))) == list(range(n))


def test_a_new_network_answers_with_the_frequency_of_each_species() -> None:
    data = with_negatives()
    settings = TINY.model_copy(update={"sampler": "uniform"})
    share = expected_presence(data, settings)
    np.testing.assert_allclose(share, data.labels.present.mean(axis=0))
    network = build_network(settings, 3, -8.0, 2.0)
    set_initial_bias(network, share)
    np.testing.assert_allclose(torch.sigmoid(network.classifier.bias).detach().numpy(), share, rtol=1e-5)
    set_initial_bias(network, np.array([0.0, 1.0, 0.25]))
    np.testing.assert_allclose(torch.sigmoid(network.classifier.bias).detach().numpy(), [1e-3, 0.5, 0.25], rtol=1e-5)


def test_validation_scores_of_label_sets_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the best threshold of each species that occurs, over the windows of which it is known."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(80, 3)).astype(np.float32).round(1)  # with equal values
    labels = LabelSets(rng.random((80, 3)) < [0.3, 0.1, 0], rng.random((80, 3)) < 0.8)
    labels.known[labels.present] = True
    data = WindowDataset([], np.zeros(80, np.int64), np.zeros(80, np.int64), labels, np.arange(80), 40)
    monkeypatch.setattr(validation, "predict_logits", lambda *_: z)
    loss, macro_f1 = loss_and_macro_f1(torch.nn.Identity(), data, TINY, CPU)
    best = []
    for n in range(2):
        known = labels.known[:, n]
        true, found = labels.present[known, n], z[known, n]
        best.append(max(f1_score(true, found >= threshold) for threshold in np.unique(found)))
    assert macro_f1 == pytest.approx(np.mean(best))
    cells = F.binary_cross_entropy_with_logits(
        torch.from_numpy(z), torch.from_numpy(labels.present.astype(np.float32)), reduction="none"
    )
    assert loss == pytest.approx(float(cells[torch.from_numpy(labels.known)].sum()) / 80, rel=1e-5)


def test_softmax_outputs_need_two_species() -> None:
    for outputs, labels in (("independent", ["a"]), ("softmax", ["a", "b"])):
        check_outputs(outputs, labels)
    with pytest.raises(AutobirdError, match=r"softmax needs two species, and the data set has a alone.*independent"):
        check_outputs("softmax", ["a"])
