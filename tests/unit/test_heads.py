"""Heads on embeddings: the fit, the choice of the weight decay, the prior of the backbone, and the exported network."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from autobird.backbone.base import Backbone, BackboneInfo
from autobird.code_fingerprint import CodeFingerprints
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.model import train_head
from autobird.model.embeddings import EmbeddedWindows, read_embeddings
from autobird.model.head_fit import Layers, Problem, Scaling, fit_head
from autobird.model.head_network import HeadNetwork
from autobird.model.head_prior import Prior, match_labels
from autobird.model.head_selection import (
    CANDIDATES,
    DEFAULT,
    choose_weight_decay,
    evaluate_candidates,
    inner_folds,
    thinning_mask,
)
from autobird.model.settings import HeadSettings, TrainSettings
from autobird.predict.graph import Graph
from autobird.release.onnx_files import export_head, multiply_adds
from tests.conftest import ROOT

WIDTH, SPECIES = 12, 3
SOFTMAX = HeadSettings(outputs="softmax", label_smoothing=0.0)
PLAIN = HeadSettings(outputs="softmax", label_smoothing=0.0, weight_decay=0.1, sampler="uniform")


def windows(n: int = 120, noise: float = 1.0, seed: int = 0) -> EmbeddedWindows:
    """Windows of three species around three directions; three windows a recording, two recordings a group."""
    rng = np.random.default_rng(seed)
    recording = np.arange(n) // 3
    label = recording // 2 % SPECIES
    x = 4 * np.eye(SPECIES, WIDTH)[label] + noise * rng.normal(size=(n, WIDTH)) + 2
    groups = recording // 2
    names = tuple(f"session {g}" for g in range(groups.max() + 1))
    return of_one_species(x, label, recording, groups, names)


def of_one_species(
    x: NDArray[np.floating],
    label: NDArray[np.int64],
    recording: NDArray[np.int64],
    group: NDArray[np.int64],
    names: tuple[str, ...],
    species: int = SPECIES,
) -> EmbeddedWindows:
    """Windows of one species each; -1: negatives."""
    present = label[:, None] == np.arange(species)
    return EmbeddedWindows(x.astype(np.float16), present, np.ones_like(present), recording, group, names)


def labels_of(data: EmbeddedWindows) -> NDArray[np.int64]:
    return np.where(data.negative, -1, data.present.argmax(axis=1))


class KnowsTwo(Backbone):
    """A backbone of three species, whose logits are a linear function of the embedding."""

    labels = ("Parus major_Great Tit", "Corvus corone_Carrion Crow", "Fictus avis_Nobody")
    info = BackboneInfo(name="two", sha256="0", sample_rate=8000, window=1.0, width=WIDTH, licence="MIT", source="")

    def embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        raise NotImplementedError

    def logits(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        weights = np.random.default_rng(1).normal(size=(3, WIDTH)).astype(np.float32)
        return embeddings.astype(np.float32) @ weights.T + np.array([1, 2, 3], np.float32)


@pytest.mark.parametrize("hidden", [0, 5])
def test_the_gradient_is_that_of_the_loss(hidden: int) -> None:
    settings = HeadSettings(outputs="softmax", hidden=hidden, label_smoothing=0.1)
    prior = Prior(
        np.random.default_rng(0).normal(size=(SPECIES, WIDTH)).astype(np.float32), np.ones(SPECIES, np.float32)
    )
    _, problem = Problem.of(windows(60), settings, prior)
    rng = np.random.default_rng(3)
    first = problem.initial_layers()
    layers = Layers(
        tuple(rng.normal(size=w.shape) for w in first.weights), tuple(rng.normal(size=b.shape) for b in first.biases)
    )
    _, gradient = problem._loss_and_gradient(layers)
    for part in range(len(layers.weights)):
        for at in [(0, 0), (2, 1)]:
            step = np.zeros_like(layers.weights[part])
            step[at] = 1e-6
            ends = [
                problem._loss_and_gradient(
                    replace(
                        layers, weights=tuple(w + s * step if n == part else w for n, w in enumerate(layers.weights))
                    )
                )[0]
                for s in (1, -1)
            ]
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(gradient.weights[part][at], abs=1e-6)


def test_a_linear_head_equals_scikit_learns_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    data = windows()
    head = fit_head(data, SPECIES, PLAIN, weight_decay=0.1)
    x = head.scaling.apply(data.embeddings)
    reference = LogisticRegression(C=1 / (0.1 * len(data)), tol=1e-9, max_iter=2000).fit(x, labels_of(data))
    np.testing.assert_allclose(
        head.layers.weights[0] - head.layers.weights[0].mean(axis=0),
        reference.coef_ - reference.coef_.mean(axis=0),
        atol=2e-4,
    )


def test_embeddings_are_scaled_to_length_one_and_standardised() -> None:
    data = windows()
    weights = np.full(len(data), 1 / len(data))
    scaled = Scaling.of(data.embeddings, weights).apply(data.embeddings)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-4)
    louder = Scaling.of(data.embeddings, weights).apply(np.float16(2) * data.embeddings)
    np.testing.assert_allclose(louder, scaled, atol=1e-5)


def test_embeddings_of_silence_and_constant_values_stay_finite() -> None:
    data = windows()
    data.embeddings[:, 5] = 0
    data.embeddings[0] = 0
    head = fit_head(data, SPECIES, PLAIN, 0.1)
    assert np.isfinite(head.logits(data.embeddings)).all()


def test_species_and_recordings_have_the_weights_of_the_sampler() -> None:
    """A species of a few windows is recalled as well as one of many if all species have the same weight."""
    data = windows(240, noise=3.0)
    keep = (labels_of(data) != 0) | (np.arange(len(data)) < 40)
    few = data.subset(keep)
    recall = {
        sampler: (
            fit_head(few, SPECIES, HeadSettings(outputs="softmax", sampler=sampler), 1.0)
            .logits(data.embeddings[labels_of(data) == 0])
            .argmax(1)
            == 0
        ).mean()
        for sampler in ("uniform", "recordings")
    }
    assert recall["recordings"] > recall["uniform"]


@pytest.mark.parametrize("hidden", [0, 4])
def test_a_fit_is_the_same_to_the_bit_each_time(hidden: int) -> None:
    settings = HeadSettings(hidden=hidden)
    first, second = (fit_head(windows(), SPECIES, settings, 0.1).tensors() for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_hidden_layer_separates_what_a_line_cannot() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (400, 2))
    label = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(np.int64)
    n = np.arange(400)
    data = of_one_species(np.hstack([x, np.ones((400, 1))]), label, n, n, tuple(map(str, n)), 2)
    right = {
        h: (fit_head(data, 2, HeadSettings(hidden=h), 1e-4).logits(data.embeddings).argmax(1) == label).mean()
        for h in (0, 16)
    }
    assert right[0] < 0.75
    assert right[16] > 0.95


def test_inner_folds_divide_no_group_and_hold_all_species() -> None:
    data = windows(360)
    fold = inner_folds(data)
    assert all(len(set(fold[data.group == g])) == 1 for g in np.unique(data.group))
    assert all(set(fold[labels_of(data) == s]) == set(range(5)) for s in range(SPECIES))
    other = inner_folds(replace(data, group=data.group[::-1], present=data.present[::-1], group_names=data.group_names))
    assert np.array_equal(other, fold[::-1])


def test_noisy_embeddings_need_stronger_weight_decay() -> None:
    clean, noisy = (
        choose_weight_decay(evaluate_candidates(windows(180, noise), SPECIES, SOFTMAX)) for noise in (0.3, 8.0)
    )
    assert clean < noisy


@pytest.mark.parametrize("settings", [SOFTMAX, HeadSettings()])
def test_without_two_groups_of_any_species_the_weight_decay_is_the_default(settings: HeadSettings) -> None:
    data = windows(18)
    assert len(set(data.group)) == SPECIES
    assert evaluate_candidates(data, SPECIES, settings) == []
    assert choose_weight_decay([]) == DEFAULT


@pytest.mark.parametrize("settings", [SOFTMAX, HeadSettings()])
def test_a_species_with_one_group_does_not_prevent_the_choice(settings: HeadSettings) -> None:
    data = windows(180)
    keep = (labels_of(data) != 0) | (data.group == data.group[labels_of(data) == 0][0])
    found = evaluate_candidates(data.subset(keep), SPECIES, settings)
    assert [c.weight_decay for c in found] == list(CANDIDATES)
    assert all(np.isfinite(c.loss) and 0 <= c.macro_f1 <= 1 for c in found)


def test_a_large_training_split_is_thinned_evenly_for_the_choice() -> None:
    data = windows(120)
    long = replace(data, recording=np.where(np.arange(120) < 60, 0, data.recording))
    kept = long.subset(thinning_mask(long.recording, 70))
    assert len(kept) <= 70
    assert set(kept.recording) == set(long.recording)
    assert (kept.recording == 0).sum() == np.bincount(kept.recording).max()


def test_the_logits_of_many_windows_are_computed_in_blocks() -> None:
    head = fit_head(windows(), SPECIES, PLAIN, 0.1)
    many = np.tile(windows().embeddings, (1000, 1))
    tracemalloc.start()
    logits = head.logits(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(logits[-120:], head.logits(windows().embeddings), atol=1e-9)
    # All embeddings as float32 would take 2 more bytes per byte of `many`, and as float64 4 more.
    assert peak < logits.nbytes + 0.9 * many.nbytes


def test_the_prior_is_the_backbones_own_logits_of_the_species_that_it_knows() -> None:
    labels = ["great tit", "Unknown bird", "Corvus_corone"]
    prior = Prior.of(KnowsTwo(), labels, 0.5)
    assert prior.known.tolist() == [True, False, True]
    x = windows().embeddings
    own = KnowsTwo().logits(x)
    np.testing.assert_allclose(
        prior.logits(x), 0.5 * np.stack([own[:, 0], 0 * own[:, 0], own[:, 1]], axis=1), atol=1e-4
    )
    assert not Prior.of(KnowsTwo(), labels, 0.0).known.any()


def test_scientific_names_match_before_common_names() -> None:
    assert match_labels(["Robin"], ["Erithacus_Robin", "Robin_Something"]) == {0: 1}
    assert match_labels(["nothing"], ["Erithacus_Robin"]) == {}


def test_strong_weight_decay_leaves_the_prior_alone() -> None:
    data = windows()
    prior = Prior(
        np.random.default_rng(0).normal(size=(SPECIES, WIDTH)).astype(np.float32), np.zeros(SPECIES, np.float32)
    )
    head = fit_head(data, SPECIES, PLAIN, 1e6, prior)
    difference = head.logits(data.embeddings) - prior.logits(data.embeddings)
    np.testing.assert_allclose(difference, np.broadcast_to(difference[0], difference.shape), atol=1e-3)


@pytest.mark.parametrize("hidden", [0, 6])
@pytest.mark.parametrize("known", [False, True])
def test_the_exported_graph_computes_the_logits_of_the_fit(tmp_path: Path, hidden: int, known: bool) -> None:
    data = windows()
    prior = Prior.of(KnowsTwo(), ["Parus major", "b", "c"], 0.5 if known else 0.0)
    head = fit_head(data, SPECIES, HeadSettings(hidden=hidden), 0.1, prior)
    network = HeadNetwork(SPECIES, WIDTH, hidden, known)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in head.tensors().items()})
    export_head(network, WIDTH, tmp_path / "float.onnx")
    graph = Graph(tmp_path / "float.onnx")
    assert graph.is_head
    assert graph.species == SPECIES
    np.testing.assert_allclose(graph.logits(data.embeddings), head.logits(data.embeddings), atol=1e-4)
    sizes = WIDTH * hidden + hidden * SPECIES if hidden else WIDTH * SPECIES
    assert multiply_adds(tmp_path / "float.onnx") == sizes + (WIDTH * SPECIES if known else 0)
    again = tmp_path / "again.onnx"
    export_head(network, WIDTH, again)
    assert again.read_bytes() == (tmp_path / "float.onnx").read_bytes()


def test_embeddings_are_read_by_batch_and_row(tmp_path: Path) -> None:
    arrays = [np.arange(20, dtype=np.float16).reshape(5, 4), 100 + np.arange(12, dtype=np.float16).reshape(3, 4)]
    paths = [tmp_path / f"{n}.npy" for n in range(2)]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    table = pd.DataFrame({"recording": ["b", "a", "b"], "start": [0, 0, 5], "shard": [1, 0, 1], "row": [2, 4, 0]})
    np.testing.assert_array_equal(read_embeddings(table, paths), np.stack([arrays[1][2], arrays[0][4], arrays[1][0]]))
    arrays[1][0, 1] = np.nan
    np.save(paths[1], arrays[1])
    with pytest.raises(AutobirdError, match=r"1\.npy: the embedding of b at sample 5 contains NaN"):
        read_embeddings(table, paths)


def test_training_of_networks_does_not_depend_on_how_heads_are_fitted() -> None:
    fingerprints = CodeFingerprints(ROOT / "scripts", ROOT / "envs/requirements.lock")
    for stage in ("train", "train_head"):
        modules = fingerprints.modules(f"autobird.model.{stage}")
        assert ("autobird.model.head_fit" in modules) == (stage == "train_head")
    for stage in ("export", "prune"):
        assert "autobird.model.head_fit" not in fingerprints.modules(f"autobird.release.{stage}")


def test_a_head_has_its_own_defaults_and_the_stages_settings_are_the_same() -> None:
    head = TrainSettings(architecture="head")
    stage = HeadSettings()
    assert {name: getattr(head, name) for name in HeadSettings.model_fields} == stage.model_dump()
    assert TrainSettings(architecture="head", outputs="softmax").label_smoothing == 0
    assert TrainSettings().weight_decay == 0.02
    assert TrainSettings(architecture="head", weight_decay=3).weight_decay == 3


@pytest.mark.parametrize("value", ["auto", 3])
def test_weight_decay_of_a_head_is_refused_for_networks(value: object) -> None:
    with pytest.raises(ValueError, match="needs architecture head"):
        TrainSettings.model_validate(json.loads(json.dumps({"weight_decay": value})))


def test_a_head_without_a_training_window_of_one_species_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    """Softmax outputs are trained on such windows. Without them, a head would be all zeros."""
    index = pd.DataFrame(
        {"recording": ["a", "b"], "start": 0, "group": ["a", "b"], "default": "absent", "split": "train"}
    )
    index = index.assign(dropped="", shard=0, row=[0, 1], present=[["x", "y"]] * 2, absent=[[]] * 2, unknown=[[]] * 2)
    index.to_parquet(tmp_path / "index.parquet")
    np.save(tmp_path / "0.npy", np.ones((2, WIDTH), np.float16))
    write_json(tmp_path / "labels.json", ["x", "y"])
    files = {"index": "index.parquet", "labels": "labels.json", "embeddings": "0.npy"}
    files |= {name: name for name in ("weights", "model", "history")}
    paths = [part for name, file in files.items() for part in (f"--{name}", str(tmp_path / file))]
    settings = HeadSettings(outputs="softmax").model_dump_json()
    with pytest.raises(AutobirdError, match=r"the train split has none; set train\.outputs to independent$"):
        train_head.main(["--settings", settings, "--front-end", "{}", "--backbone", "{}", *paths])
