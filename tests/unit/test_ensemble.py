"""Ensembles: the averaging graph, which networks can be averaged, and what a network learns from an ensemble."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from torch import nn

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_json
from autobird.core.tables import write_table
from autobird.dataset.label_sets import LabelSets
from autobird.evaluation.predictions import PREDICTIONS
from autobird.evaluation.settings import CalibrationSettings
from autobird.members import ensemble_id, members_of, released_ids
from autobird.model.data import WindowDataset
from autobird.model.ensemble_teaching import ANSWERS, TaughtWindows, with_answers
from autobird.model.settings import TrainSectionSettings
from autobird.predict.graph import Graph
from autobird.release import ensemble
from autobird.release.ensemble import averaged, check_independent, select_average, validation_scores
from autobird.release.ensemble_graph import AVERAGES, average_logits, ensemble_graph
from autobird.release.onnx_files import export, multiply_adds, serialise
from tests.predictions import predictions

MELS, FRAMES, SPECIES = 8, 10, 3


def network(seed: int, scale: float = 1.0) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 8, SPECIES))
    with torch.no_grad():
        net[3].weight.mul_(scale)
    return net


@pytest.mark.parametrize("outputs", ["independent", "softmax"])
@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_the_graph_of_an_ensemble_computes_the_average_of_its_networks(
    tmp_path: Path, outputs: Any, average: Any, scale: float
) -> None:
    paths = [tmp_path / f"{seed}.onnx" for seed in range(3)]
    for seed, path in enumerate(paths):
        export(network(seed, scale), MELS, FRAMES, path)
    windows = np.random.default_rng(0).normal(size=(20, FRAMES, MELS)).astype(np.float32)
    combined = ensemble_graph([onnx.load(path) for path in paths], outputs, average)
    (tmp_path / "ensemble.onnx").write_bytes(serialise(combined))
    graph = Graph(tmp_path / "ensemble.onnx")
    found = graph.logits(windows)
    expected = average_logits([Graph(path).logits(windows) for path in paths], outputs, average)
    assert graph.species == SPECIES
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert multiply_adds(tmp_path / "ensemble.onnx") == 3 * multiply_adds(paths[0])
    # Equal networks give equal bytes.
    again = ensemble_graph([onnx.load(path) for path in paths], outputs, average)
    assert serialise(again) == serialise(combined)


def test_the_average_of_probabilities_is_that_of_the_probabilities() -> None:
    probabilities = np.array([[[0.1, 0.9]], [[0.5, 0.5]]])
    logit = np.log(probabilities / (1 - probabilities))
    mean = average_logits(list(logit), "independent", "probabilities")
    np.testing.assert_allclose(1 / (1 + np.exp(-mean)), [[0.3, 0.7]])
    mean = average_logits(list(np.log(probabilities)), "softmax", "probabilities")
    np.testing.assert_allclose(np.exp(mean), [[0.3, 0.7]])
    np.testing.assert_allclose(average_logits(list(logit), "independent", "logits"), logit.mean(axis=0))


def index(train: str, test: str, group: str = "") -> pd.DataFrame:
    rows = [(name, group or f"group {name}", "train") for name in train] + [
        (name, f"group {name}", "test") for name in test
    ]
    return pd.DataFrame(rows, columns=["recording", "group", "recording_split"])


def test_networks_of_other_folds_cannot_be_averaged() -> None:
    own = index("abc", "de")
    check_independent(own, [("seed4", own), ("seed5", index("ab", "cde"))])
    with pytest.raises(
        AutobirdError, match=r"fold1\.seed4 was trained on 2 recordings that the ensemble would be scored on, first d"
    ):
        check_independent(own, [("seed4", own), ("fold1.seed4", index("ade", "bc"))])
    # Another recording of a tested session.
    with pytest.raises(
        AutobirdError, match="seed5 was trained on 1 group that the ensemble would be scored on, first group d"
    ):
        check_independent(own, [("seed5", index("x", "", group="group d"))])


def test_the_networks_of_every_ensemble_have_its_dataset() -> None:
    for mode in ("average", "distill"):
        raw = {"dataset": {"folds": 3}, "train": {"ensemble": mode, "seeds": [4, 5, 6]}}
        members = {member.id: member for member in members_of(raw).values()}
        ensembles = [member for member in members.values() if member.ensemble]
        assert len(ensembles) == 4
        for member in ensembles:
            assert {members[name].dataset for name in member.ensemble} == {member.dataset}
            assert sorted(members[name].config.train.seed for name in member.ensemble) == [4, 5, 6]
            assert {members[name].config.dataset.fold for name in member.ensemble} == {member.config.dataset.fold}
        released = [members[name] for name in released_ids(members[""].config)]
        assert [member.dataset for member in released] == ["fold0", "fold1", "fold2"]


def test_the_main_run_is_in_its_ensemble_or_learns_from_one() -> None:
    average = members_of({"train": {"ensemble": "average", "seeds": [4, 5]}})
    assert average[""].ensemble == ("", "seed5")
    assert "members/seed4/" not in average
    distill = {m.id: m for m in members_of({"train": {"ensemble": "distill", "seeds": [4, 5]}}).values()}
    assert (distill[""].ensemble, distill[""].taught_by) == ((), "ensemble")
    assert distill["ensemble"].ensemble == ("seed4", "seed5")
    assert distill["fold1.distilled"].taught_by == ensemble_id(1)
    assert not any(member.ensemble or member.taught_by for member in members_of({}).values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ensemble": "average", "seeds": [4]}, "ensemble average needs at least two seeds"),
        ({"ensemble": "average", "seeds": [5, 6]}, r"4 \(train.seed\) among them; seeds is \[5, 6\]"),
        ({"ensemble": "average", "architecture": "head"}, "does not help a head"),
        (
            {"ensemble": "distill", "architecture": "head", "hidden": 8},
            "distill needs a network that is trained in steps",
        ),
    ],
)
def test_what_cannot_be_an_ensemble_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainSectionSettings.model_validate(settings)


def test_the_average_is_that_with_the_smaller_loss_on_validation() -> None:
    assert select_average({"logits": {"loss": 0.2}, "probabilities": {"loss": 0.1}}) == "probabilities"
    assert select_average({"logits": {"loss": 0.1}, "probabilities": {"loss": 0.1}}) == "logits"


def tables() -> list[pd.DataFrame]:
    """Predictions of two networks, each unsure about other recordings."""
    out = []
    for wrong in (0, 1):
        rows = []
        for i in range(16):
            p = [0.1, 0.1]
            p[i // 2 % 2] = 0.45 if i % 4 == wrong else 0.8
            p[1 - i // 2 % 2] = 0.55 if i % 4 == wrong else 0.1
            rows.append((f"r{i:02d}", f"g{i}", "AB"[i // 2 % 2], p))
        table = pd.concat([predictions(rows[:8], "validation"), predictions(rows[8:], "test")], ignore_index=True)
        quiet = table.iloc[:1].assign(split="validation_quiet", logits=[np.empty(0, np.float32)])
        out.append(pd.concat([table, quiet], ignore_index=True))
    return out


def test_predictions_are_averaged_window_by_window_and_quiet_windows_stay_without() -> None:
    a, b = tables()
    mean = averaged([a, b], "softmax", "logits")
    assert mean["recording"].tolist() == a["recording"].tolist()
    assert len(mean["logits"].iloc[-1]) == 0
    np.testing.assert_allclose(mean["logits"].iloc[3], (a["logits"].iloc[3] + b["logits"].iloc[3]) / 2, rtol=1e-6)
    with pytest.raises(AutobirdError, match="did not score the same windows"):
        averaged([a, b.iloc[::-1].reset_index(drop=True)], "softmax", "logits")


def test_without_a_validation_window_of_one_species_the_logits_are_averaged() -> None:
    both = [
        table.assign(**{f"{p}present": [["A", "B"]] * len(table) for p in ("", "recording_")}) for table in tables()
    ]
    averages = {average: averaged(both, "softmax", average) for average in AVERAGES}
    scores = validation_scores(averages, ["A", "B"], "softmax", CalibrationSettings(resamples=100))
    assert [score["loss"] for score in scores.values()] == [None, None]
    assert select_average(scores) == "logits"


def stage(folder: Path, models: list[dict[str, Any]], indexes: list[pd.DataFrame], *options: str) -> dict[str, Any]:
    arguments: dict[str, list[str]] = {name: [] for name in ("variants", "scores", "models", "indexes", "names")}
    for i, (table, model, own) in enumerate(zip(tables(), models, indexes, strict=True)):
        export(network(i), MELS, FRAMES, folder / f"{i}.onnx")
        write_table(folder / f"{i}.parquet", table, PREDICTIONS)
        write_json(folder / f"{i}.json", model)
        own.to_parquet(folder / f"index{i}.parquet")
        for name, text in zip(arguments, (f"{i}.onnx", f"{i}.parquet", f"{i}.json", f"index{i}.parquet"), strict=False):
            arguments[name].append(str(folder / text))
        arguments["names"].append(f"seed{i}")
    ensemble.main(
        ["--settings", CalibrationSettings(resamples=100).model_dump_json(),
         *(text for name, values in arguments.items() for text in (f"--{name}", *values)),
         "--index", str(folder / "index0.parquet"),
         "--output", str(folder / "float.onnx"), "--result", str(folder / "ensemble.json"), *options]
    )  # fmt: skip
    return read_json(folder / "ensemble.json")


MODEL = {"labels": ["A", "B"], "outputs": "softmax", "features": {}, "frames": FRAMES}


def test_the_stage_writes_the_graph_and_the_validation_scores(tmp_path: Path) -> None:
    result = stage(tmp_path, [MODEL, MODEL], [index("xy", ["r00"]), index("xy", ["r00"])])
    assert (result["networks"], result["reference"]) == (["seed0", "seed1"], "seed0")
    scores = result["validation"]
    assert result["average"] == min(AVERAGES, key=lambda name: scores[name]["loss"])
    # Each network is wrong in other recordings, their average in none.
    assert scores["seed0"]["macro_f1"] < scores[result["average"]]["macro_f1"] == 1.0
    assert "ensemble: it holds 2 networks" in result["summary"]
    assert len(onnx.load(tmp_path / "float.onnx").graph.input) == 1
    assert json.dumps(result)


def test_of_a_network_that_learns_from_the_ensemble_the_card_does_not_say_that_it_is_the_ensemble(
    tmp_path: Path,
) -> None:
    result = stage(tmp_path, [MODEL, MODEL], [index("xy", ["r00"]), index("xy", ["r00"])], "--teaches")
    text = result["summary"]
    assert text.startswith(
        "The model is a single network that learned from the labels and from the answers of an ensemble"
    )
    assert "One prediction costs as much as one network" in text
    assert "Macro-F1 on the validation recordings: 1.000 of the ensemble, and " in text


def test_the_stage_refuses_networks_that_know_the_test_recordings_or_differ(tmp_path: Path) -> None:
    with pytest.raises(
        AutobirdError, match="seed1 was trained on 1 recording that the ensemble would be scored on, first r00"
    ):
        stage(tmp_path, [MODEL, MODEL], [index("xy", ["r00"]), index(["r00"], "x")])
    assert not (tmp_path / "float.onnx").exists()
    with pytest.raises(AutobirdError, match="seed1 and seed0 differ in labels"):
        stage(tmp_path, [MODEL, {**MODEL, "labels": ["A", "C"]}], [index("xy", ["r00"])] * 2)


def windows_of(known: np.ndarray) -> WindowDataset:
    present = np.array([[True, False], [False, False]])
    numbers = np.zeros(2, np.int64)
    return WindowDataset([], numbers, numbers, LabelSets(present, known), numbers, FRAMES)


def test_targets_are_the_mean_of_labels_and_answers_and_the_answers_alone_without_a_label() -> None:
    windows = windows_of(np.array([[True, True], [True, False]]))
    taught = TaughtWindows(**vars(windows), answers=np.array([[0.6, 0.2], [0.4, 0.8]], np.float32))
    targets = taught.targets(np.array([0, 1]))
    np.testing.assert_allclose(targets.present.numpy(), [[0.8, 0.1], [0.2, 0.8]], rtol=1e-6)
    assert targets.known.all()


def test_answers_are_found_by_recording_and_start(tmp_path: Path) -> None:
    windows, path = windows_of(np.ones((2, 2), bool)), tmp_path / "index.parquet"
    rows = [("a", "", "train"), ("x", "", "test"), ("y", "quiet", "train"), ("b", "", "train")]
    pd.DataFrame(rows, columns=["recording", "dropped", "split"]).assign(start=0).to_parquet(path)
    table = pd.DataFrame({"recording": ["b", "a"], "start": [0, 0], "logits": [[0.0, 2.0], [-2.0, 0.0]]})
    write_table(tmp_path / "answers.parquet", table, ANSWERS)
    taught = with_answers(windows, path, tmp_path / "answers.parquet", "independent")
    np.testing.assert_allclose(taught.answers, 1 / (1 + np.exp([[2.0, 0.0], [0.0, -2.0]])), rtol=1e-6)
    assert len(taught) == 2
    write_table(tmp_path / "answers.parquet", table.iloc[:1], ANSWERS)
    with pytest.raises(AutobirdError, match="no answers to 1 of 2 training windows"):
        with_answers(windows, path, tmp_path / "answers.parquet", "independent")


def test_targets_of_softmax_outputs_sum_to_one_also_beside_an_uncertain_species(tmp_path: Path) -> None:
    """The label of such a window is the one species that is certain, so the answer has its share for the uncertain one, too."""
    windows, path = windows_of(np.array([[True, False], [True, False]])), tmp_path / "index.parquet"
    windows.labels.present[1, 0] = True
    pd.DataFrame({"recording": ["a", "b"], "start": 0, "dropped": "", "split": "train", "default": "absent"}).assign(
        present=[["A"], ["A"]]
    ).to_parquet(path)
    table = pd.DataFrame({"recording": ["a", "b"], "start": [0, 0], "logits": [[0.0, 2.0], [2.0, 0.0]]})
    write_table(tmp_path / "answers.parquet", table, ANSWERS)
    taught = with_answers(windows, path, tmp_path / "answers.parquet", "softmax")
    targets = taught.targets(np.array([0, 1]))
    p = 1 / (1 + np.exp(-2))
    np.testing.assert_allclose(targets.present.numpy(), [[1 - p / 2, p / 2], [(1 + p) / 2, (1 - p) / 2]], rtol=1e-6)
    assert taught.labels.present is windows.labels.present
