"""Heads with independent outputs: label sets, negatives, masks, losses and the choice of the weight decay; softmax heads as before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from autobird.model import head_fit
from autobird.model.embeddings import EmbeddedWindows
from autobird.model.head_fit import Layers, Problem, fit_head, window_weights
from autobird.model.head_loss import head_loss
from autobird.model.head_prior import Prior
from autobird.model.head_selection import CANDIDATES, choose_weight_decay, evaluate_candidates, inner_folds
from autobird.model.settings import HeadSettings

WIDTH, SPECIES = 12, 3
LOSSES = ("bce", "focal", "asymmetric")


def windows(n: int = 120, noise: float = 0.4, seed: int = 0, negatives: int = 60) -> EmbeddedWindows:
    """Windows of one to three species, each a direction, and negatives; three windows a recording, two recordings a group.

    Of every fifth window, one species that is absent is not known.
    """
    rng = np.random.default_rng(seed)
    total = n + negatives
    recording = np.arange(total) // 3
    first = recording // 2 % SPECIES
    present = first[:, None] == np.arange(SPECIES)
    present |= (rng.random((total, SPECIES)) < 0.2) & (np.arange(total) % 2 == 0)[:, None]
    present[n:] = False
    known = np.ones_like(present)
    every = np.arange(0, n, 5)
    known[every, (first[every] + 1) % SPECIES] = False
    known |= present
    x = 4 * present @ np.eye(SPECIES, WIDTH) + noise * rng.normal(size=(total, WIDTH)) + 2
    groups = recording // 2
    names = tuple(f"session {g}" for g in range(groups.max() + 1))
    return EmbeddedWindows(x.astype(np.float16), present, known, recording, groups, names)


def one_species(data: EmbeddedWindows) -> EmbeddedWindows:
    """The windows that hold the first species, and the negatives, for a detector of that species."""
    kept = data.subset(data.present[:, 0] | data.negative)
    return replace(kept, present=kept.present[:, :1], known=kept.known[:, :1])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_derivatives_are_those_of_the_losses(loss: str, smoothing: float) -> None:
    data = windows(30, negatives=10)
    settings = HeadSettings(loss=loss, label_smoothing=smoothing)
    z = 3 * np.random.default_rng(1).normal(size=data.present.shape)
    _, derivative = head_loss(z, data.present, data.known, settings)
    step = 1e-6
    for species in range(SPECIES):
        moved = step * (np.arange(SPECIES) == species)
        up, down = (head_loss(z + s * moved, data.present, data.known, settings)[0] for s in (1, -1))
        np.testing.assert_allclose((up - down) / (2 * step), derivative[:, species], atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_derivatives_of_large_logits_are_finite(loss: str) -> None:
    z = np.array([[-800.0, 800.0, 0.0]])
    present = np.array([[True, False, True]])
    value, derivative = head_loss(z, present, np.ones_like(present), HeadSettings(loss=loss))
    assert np.isfinite(value).all()
    assert np.isfinite(derivative).all()


def test_the_binary_losses_are_those_of_their_papers() -> None:
    z, present = np.array([[0.4, -1.1]]), np.array([[True, False]])
    p = expit(z)[0]
    expected = {
        "bce": -np.log(p[0]) - np.log(1 - p[1]),
        "focal": -((1 - p[0]) ** 2) * np.log(p[0]) - p[1] ** 2 * np.log(1 - p[1]),
        "asymmetric": -np.log(p[0]) - (p[1] - 0.05) ** 4 * np.log(1 - (p[1] - 0.05)),
    }
    for loss, value in expected.items():
        settings = HeadSettings(loss=loss, label_smoothing=0.0)
        assert head_loss(z, present, np.ones_like(present), settings)[0][0] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("hidden", [0, 5])
def test_the_gradient_of_the_weights_is_that_of_the_loss(hidden: int) -> None:
    prior = Prior(
        np.random.default_rng(0).normal(size=(SPECIES, WIDTH)).astype(np.float32), np.ones(SPECIES, np.float32)
    )
    _, problem = Problem.of(windows(60), HeadSettings(hidden=hidden), prior)
    rng = np.random.default_rng(3)
    first = problem.initial_layers()
    layers = Layers(
        tuple(rng.normal(size=w.shape) for w in first.weights), tuple(rng.normal(size=b.shape) for b in first.biases)
    )
    _, gradient = problem._loss_and_gradient(layers)
    for part in range(len(layers.weights)):
        step = np.zeros_like(layers.weights[part])
        step[2, 1] = 1e-6
        ends = [
            problem._loss_and_gradient(
                replace(layers, weights=tuple(w + s * step if n == part else w for n, w in enumerate(layers.weights)))
            )[0]
            for s in (1, -1)
        ]
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(gradient.weights[part][2, 1], abs=1e-6)


def test_each_output_is_a_logistic_regression_on_the_cells_that_are_known() -> None:
    from sklearn.linear_model import LogisticRegression

    data = windows()
    settings = HeadSettings(label_smoothing=0.0)
    head = fit_head(data, SPECIES, settings, weight_decay=0.1)
    x, weights = head.scaling.apply(data.embeddings), window_weights(data, settings)
    for species in range(SPECIES):
        known = data.known[:, species]
        reference = LogisticRegression(C=1 / 0.1, tol=1e-9, max_iter=2000)
        reference.fit(x[known], data.present[known, species], sample_weight=weights[known])
        np.testing.assert_allclose(head.layers.weights[0][species], reference.coef_[0], atol=2e-4)
        assert head.layers.biases[0][species] == pytest.approx(reference.intercept_[0], abs=2e-3)


def test_cells_that_are_not_known_have_no_influence() -> None:
    """A species is labelled as absent in some windows that hold it. With those cells masked, the head finds it there."""
    data = windows(negatives=30)
    hidden = data.present[:, 1] & (data.present.sum(axis=1) > 1)
    assert hidden.sum() >= 10
    wrong = data.present.copy()
    wrong[hidden, 1] = False
    masked = data.known.copy()
    masked[hidden, 1] = False
    probability = {
        name: expit(fit_head(replace(data, present=wrong, known=known), SPECIES, HeadSettings(), 0.01).logits(data.embeddings))
        for name, known in (("wrong", data.known), ("masked", masked))
    }  # fmt: skip
    assert probability["masked"][hidden, 1].min() > 0.5 > probability["wrong"][hidden, 1].max()
    z = np.random.default_rng(0).normal(size=data.present.shape)
    changed = np.where(masked, z, 99.0)
    for loss in LOSSES:
        first, second = (head_loss(v, wrong, masked, HeadSettings(loss=loss)) for v in (z, changed))
        np.testing.assert_array_equal(first[0], second[0])
        assert not second[1][~masked].any()


def test_windows_of_several_species_and_negatives_have_their_own_answers() -> None:
    data = windows(240)
    detected = fit_head(data, SPECIES, HeadSettings(), 0.03).logits(windows(240, seed=1).embeddings) > 0
    truth = windows(240, seed=1).present
    assert (detected == truth).all(axis=1).mean() > 0.9
    assert not detected[~truth.any(axis=1)].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_one_species_and_negatives_are_a_detector(loss: str) -> None:
    data = one_species(windows(240))
    settings = HeadSettings(loss=loss)
    candidates = evaluate_candidates(data, 1, settings)
    assert [c.weight_decay for c in candidates] == list(CANDIDATES)
    head = fit_head(data, 1, settings, choose_weight_decay(candidates))
    new = one_species(windows(240, seed=1))
    z = head.logits(new.embeddings)[:, 0]
    assert z.shape == (len(new),)
    assert z[new.present[:, 0]].min() > z[new.negative].max()


def test_negatives_have_their_share_of_the_weight() -> None:
    data = windows()
    for share in (0.2, 0.5):
        weights = window_weights(data, HeadSettings(negative_share=share))
        assert weights[data.negative].sum() == pytest.approx(share)
        assert weights.sum() == pytest.approx(1)
    low, high = (
        fit_head(data, SPECIES, HeadSettings(negative_share=share), 0.3).logits(data.embeddings[data.negative]).mean()
        for share in (0.1, 0.8)
    )
    assert high < low


def test_inner_folds_deal_negatives_like_a_species() -> None:
    data = windows(180, negatives=60)
    fold = inner_folds(data)
    assert set(fold[data.negative]) == set(range(5))
    assert all(len(set(fold[data.group == g])) == 1 for g in np.unique(data.group))


def test_a_species_counts_only_in_folds_that_were_trained_on_it() -> None:
    """A species with one group of recordings can be learnt in all folds but the one that holds it, where its cells do not count."""
    data = windows(180)
    of_third = data.present[:, 2]
    group = data.group[of_third & (data.present.sum(axis=1) == 1)][0]
    few = data.subset(~of_third | (data.group == group))
    found = evaluate_candidates(few, SPECIES, HeadSettings())
    without = evaluate_candidates(
        replace(few, present=few.present & [True, True, False], known=few.known & [True, True, False]),
        SPECIES,
        HeadSettings(negative_share=window_weights(few, HeadSettings())[~few.present[:, :2].any(axis=1)].sum()),
    )
    assert max(c.loss for c in found) < 2
    assert all(np.isfinite(c.loss) and np.isfinite(c.bias) for c in (*found, *without))


def test_the_loss_of_a_candidate_is_that_after_a_common_scale_and_bias() -> None:
    """Scale and bias of all outputs together are the logistic regression of the labels by the logits."""
    from sklearn.linear_model import LogisticRegression

    from autobird.model.head_selection import _best_scale_and_bias

    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, SPECIES))
    present = rng.random(z.shape) < expit(2 * z - 1)
    weights = rng.random(z.shape) / z.size
    temperature, bias, loss = _best_scale_and_bias(z, present, weights)
    reference = LogisticRegression(C=1e9, tol=1e-9).fit(
        z.reshape(-1, 1), present.ravel(), sample_weight=weights.ravel()
    )
    assert 1 / temperature == pytest.approx(reference.coef_[0, 0], rel=1e-3)
    assert bias == pytest.approx(reference.intercept_[0], abs=2e-3)
    p = reference.predict_proba(z.reshape(-1, 1))[:, 1]
    expected = -(weights.ravel() * np.log(np.where(present.ravel(), p, 1 - p))).sum()
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("hidden", [0, 4])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_heads_are_the_same_to_the_bit_as_before_label_sets(
    monkeypatch: pytest.MonkeyPatch, hidden: int, smoothing: float
) -> None:
    """The loss as it was written for one label of each window."""

    def cross_entropy(
        z: NDArray[np.float64], present: NDArray[np.bool_], _known: NDArray[np.bool_], settings: HeadSettings
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        label = present.argmax(axis=1)
        shifted = z - z.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        target = np.full(log_p.shape, settings.label_smoothing / z.shape[1])
        target[np.arange(len(label)), label] += 1 - settings.label_smoothing
        return -(target * log_p).sum(axis=1), np.exp(log_p) - target

    every = windows()
    data = every.subset(every.known.all(axis=1) & (every.present.sum(axis=1) == 1))
    settings = HeadSettings(outputs="softmax", hidden=hidden, label_smoothing=smoothing)
    now = fit_head(data, SPECIES, settings, 0.1).tensors()
    monkeypatch.setattr(head_fit, "head_loss", cross_entropy)
    before = fit_head(data, SPECIES, settings, 0.1).tensors()
    assert all(now[name].tobytes() == before[name].tobytes() for name in before)


def test_a_softmax_head_is_trained_on_windows_in_which_exactly_one_species_is_present(tmp_path: Path) -> None:
    none: list[str] = []
    sets = [(["a"], none, "a"), (["a", "b"], none, ""), (none, none, ""), (["b"], ["a"], ""), (["b"], none, "b")]
    table = pd.DataFrame(
        {
            "recording": list("vwxyz"),
            "start": 0,
            "species": [s[2] for s in sets],
            "present": [s[0] for s in sets],
            "absent": [none] * 5,
            "unknown": [s[1] for s in sets],
            "default": "absent",
            "group": list("vwxyz"),
            "split": "train",
            "dropped": "",
            "shard": 0,
            "row": range(5),
        }
    )
    table.to_parquet(tmp_path / "index.parquet")
    np.save(tmp_path / "0.npy", np.arange(10, dtype=np.float16).reshape(5, 2))

    def read(outputs: str) -> EmbeddedWindows:
        return EmbeddedWindows.from_split(
            tmp_path / "index.parquet", "train", ["a", "b"], [tmp_path / "0.npy"], outputs
        )

    # The fourth window is that of a focal recording of b with a in the background.
    assert read("softmax").present.tolist() == [[True, False], [False, True], [False, True]]
    every = read("independent")
    assert every.present.tolist() == [[True, False], [True, True], [False, False], [False, True], [False, True]]
    assert every.known.tolist() == [[True, True], [True, True], [True, True], [False, True], [True, True]]
    assert every.negative.tolist() == [False, False, True, False, False]


def test_a_species_without_training_windows_is_never_named() -> None:
    data = windows()
    without = data.subset(~data.present[:, 2])
    z = fit_head(without, SPECIES, HeadSettings(), 0.3).logits(data.embeddings)
    assert np.isfinite(z).all()
    assert z[:, 2].max() < np.minimum(z[:, 0], z[:, 1]).min()
