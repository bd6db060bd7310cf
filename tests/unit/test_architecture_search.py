"""The programs of the architecture search: its network with the defaults is `resnet`, and all candidates can be trained."""

import shutil
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import ROOT
from tests.heads import write_head
from tests.label_sets import label_columns

sys.path.insert(0, str(ROOT / "scripts"))

from architecture_candidates import CANDIDATES, Candidate, Network
from architecture_search import cost, dataset_of, differences, mel_settings, numbers, scores, train, training_key
from architecture_search import settings_of as search_settings
from autobird.audio.amplitude_scaling import scaling_of
from autobird.audio.npy import NpyWriter
from autobird.audio.windows import frames_per_window
from autobird.backbone.teach import TRAINING_SOUNDS
from autobird.config import Config, load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.tables import write_table
from autobird.model.data import WindowDataset
from autobird.model.networks import build_network
from autobird.model.settings import TrainSettings
from autobird.model.train import trainer_of
from autobird.model.validation import predict_logits


def test_the_network_with_its_defaults_has_the_outputs_of_resnet() -> None:
    ours = build_network(TrainSettings(width=8), 5, -8.0, 3.0).eval()
    searched = Network(5, -8.0, 3.0, 32, 0.1, width=8).eval()
    values = list(ours.state_dict().values())
    assert [v.shape for v in values] == [v.shape for v in searched.state_dict().values()]
    searched.load_state_dict(dict(zip(searched.state_dict(), values, strict=True)))
    x = torch.randn(2, 1, 32, 40) * 3 - 8
    torch.testing.assert_close(searched(x), ours(x))


@pytest.mark.parametrize("name", list(CANDIDATES))
def test_all_parameters_of_a_candidate_get_a_gradient(name: str) -> None:
    candidate, x = CANDIDATES[name], torch.randn(2, 1, 32, 157) - 8
    settings = TrainSettings.model_validate(dict(candidate.train))
    network = (
        build_network(settings, 5, 0.0, 1.0)
        if candidate.network is None
        else Network(5, 0.0, 1.0, 32, 0.1, **candidate.network)
    )
    network(x).square().sum().backward()
    assert all(values.grad is not None for values in network.parameters())


def test_the_cost_of_a_convolution_and_a_linear_layer_is_counted() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 5)
    )
    assert cost(network, 6, 7) == (6 * 7 * 4 * 9 + 4 * 5, 4 * 9 + 4 + 4 * 5 + 5)


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Return a configuration whose windows, of three species, are in the working directory: the data set in `dataset`."""
    monkeypatch.chdir(tmp_path)
    names = {"train": {"width": 4, "epochs": 2, "batch_size": 8, "threads": 1}, "features": {"name": "f", "mels": 16}}
    config = load_config(names | {"run": {"name": "r"}})
    frames = frames_per_window(mel_settings(config).window_samples, mel_settings(config).hop_length)
    n = 24
    mels = np.random.default_rng(0).normal(-9, 1, (n, frames, 16)).astype(np.float16)
    for i in range(n):
        mels[i, :, 4 * (i % 3) : 4 * (i % 3) + 3] += 4
    Path("results/features/f/mels").mkdir(parents=True)
    with NpyWriter(Path("results/features/f/mels/0.npy"), "<f2", (16,)) as out:
        out.append(mels.reshape(-1, 16))
    split = np.array(["train", "validation", "test"])[np.arange(n) // 3 % 3]
    labels = [f"s{i % 3}" for i in range(n)]
    index = {
        "recording": [f"r{i:02d}" for i in range(n)],
        "start": 0,
        "split": split,
        "recording_split": split,
        "shard": 0,
        "dropped": "",
    }
    index |= {
        "earliest": 0,
        "latest": 0,
        "rms": 0.1,
        "negative": False,
        "quiet": False,
        "first_frame": np.arange(n) * frames,
    }
    table = pd.DataFrame(index | label_columns(labels)).assign(recording_present=[[name] for name in labels])
    Path("dataset").mkdir()
    table.to_parquet("dataset/index.parquet")
    write_json(Path("dataset/labels.json"), ["s0", "s1", "s2"])
    write_json(Path("dataset/normalisation.json"), {"mean": -8.0, "std": 2.0})
    return config


def test_a_candidate_with_the_settings_of_the_run_is_trained_as_by_the_stage(searched: Config) -> None:
    table = train(searched, Candidate(), Path("dataset"), seed=5)
    settings, mel = search_settings(searched, Candidate(), 5), mel_settings(searched)
    folder, shards = Path("dataset"), [Path("results/features/f/mels/0.npy")]
    files = Namespace(
        index=folder / "index.parquet",
        normalisation=folder / "normalisation.json",
        shards=shards,
        ensemble_answers=None,
    )
    labels = ["s0", "s1", "s2"]
    trainer = trainer_of(files, settings, mel, labels, None)
    network = build_network(settings, 3, -8.0, 2.0)
    network.load_state_dict(trainer.run(lambda: None))
    assert table["split"].value_counts().to_dict() == {"validation": 9, "test": 6}
    tested = WindowDataset.from_index(table, labels, shards, trainer.train.frames, scaling_of(mel))
    np.testing.assert_array_equal(np.stack(table["logits"].to_list()), predict_logits(network, tested, trainer.compute))
    assert table.attrs["parameters"] == sum(values.numel() for values in network.parameters())


def test_a_candidate_with_a_network_of_its_own_is_trained(searched: Config) -> None:
    narrow = train(searched, Candidate(network={"width": 2}), Path("dataset"), 5, ("test",))
    assert narrow["split"].unique().tolist() == ["test"]
    assert narrow.attrs["parameters"] == cost(Network(3, 0.0, 1.0, 16, 0.1, width=2), 16, 40)[1]


def test_a_training_that_the_stage_refuses_is_refused(searched: Config) -> None:
    write_json(Path("dataset/labels.json"), ["s0"])
    with pytest.raises(AutobirdError, match=r"train\.outputs: softmax needs two species"):
        train(searched, Candidate(train={"outputs": "softmax"}), Path("dataset"), 5)


def fold_of(number: int, right: float, index: str = "") -> pd.DataFrame:
    """Return twelve windows, four each of three species: of a share of them the logit of the right species is the highest."""
    species = np.arange(12) % 3
    shown = np.where(np.arange(12) < 12 * right, species, (species + 1) % 3)
    labels = [f"s{n}" for n in species]
    table = pd.DataFrame(
        {
            "recording": [f"fold{number}.{n}" for n in range(12)], "group": [f"fold{number}.{n}" for n in range(12)], "start": 0,
            "number": 0, "split": "validation", "recording_split": "validation", "rms": 0.1, "negative": False, "quiet": False,
            "logits": list((4.0 * np.eye(3, dtype=np.float32)[shown]) - 2),
        }
        | label_columns(labels)
    ).assign(recording_present=[[name] for name in labels])  # fmt: skip
    for kind in ("absent", "unknown", "default"):
        table[f"recording_{kind}"] = table[kind]
    table.attrs |= {"labels": ["s0", "s1", "s2"], "outputs": "independent", "index": index or f"index of fold {number}"}
    return table


def test_differences_are_paired_over_the_seeds_and_folds_that_both_have() -> None:
    reference = {4: {0: fold_of(0, 0.5), 1: fold_of(1, 0.75)}, 5: {0: fold_of(0, 0.25), 1: fold_of(1, 0.75)}}
    other = {5: {0: fold_of(0, 1.0), 1: fold_of(1, 0.5)}, 4: {1: fold_of(1, 1.0)}, 6: {0: fold_of(0, 0.25)}}
    found = differences(other, reference, "validation", Config())
    expected = np.array([scores([other[seed][1]], "validation") for seed in (4, 5)]).mean(axis=0)
    expected -= np.array([scores([reference[seed][1]], "validation") for seed in (4, 5)]).mean(axis=0)
    assert len(found) == 4
    for interval, value in zip(found, expected, strict=True):
        assert interval is not None
        assert interval[0] == pytest.approx(value)
        assert interval[1] < interval[0] < interval[2]
    same = differences(reference, reference, "validation", Config())
    assert [interval[0] for interval in same if interval] == [0.0] * 4
    only = differences({5: other[5]}, reference, "validation", Config())[0]
    assert only is not None
    both_folds = [scores(list(of[5].values()), "validation")[0] for of in (other, reference)]
    assert only[0] == pytest.approx(both_folds[0] - both_folds[1])


def test_differences_of_other_data_or_trainings_are_refused() -> None:
    reference = {4: {0: fold_of(0, 0.5)}}
    with pytest.raises(SystemExit, match=r"have no training of the same seed and fold"):
        differences({5: {0: fold_of(0, 0.5)}}, reference, "validation", Config())
    with pytest.raises(SystemExit, match=r"have no training of the same seed and fold"):
        differences({4: {1: fold_of(1, 0.5)}}, reference, "validation", Config())
    with pytest.raises(SystemExit, match=r"have other data sets"):
        differences({4: {0: fold_of(0, 0.5, "another")}}, reference, "validation", Config())


@pytest.fixture
def taught(searched: Config) -> Config:
    """Return the same for students: the data set is that of fold 0, and there are two batches of training sounds and a teacher."""
    Path("dataset").rename(made(dataset_of(searched, 0)))
    sounds = made(Path("results/features/f/teaching/birdnet-2.4/0.npy")).parent
    frames = np.load("results/features/f/mels/0.npy").reshape(24, -1, 16)
    for batch, name in enumerate(["r00", "r01"]):
        np.save(sounds / f"{batch}.npy", np.roll(frames[batch::2], 5, axis=1).reshape(-1, 16))
        embeddings = np.random.default_rng(batch).normal(size=(12, 6)).astype(np.float16)
        np.save(sounds / f"{batch}.embeddings.npy", embeddings)
        table = pd.DataFrame({"recording": [name] * 12, "partner": ""})
        write_table(sounds / f"{batch}.parquet", table, TRAINING_SOUNDS)
    head = made(Path("results/r/members/fold0.teacher/release/float.onnx"))
    write_head(head, width=6, species=3)
    species = {f"s{n}": {"threshold": 0.5, "scale": 1.0, "offset": 0.0} for n in range(3)}
    calibration = {"outputs": "independent", "aggregation": "mean", "thresholds": species}
    write_json(head.with_name("calibration.json"), calibration)
    return searched


def made(path: Path) -> Path:
    """Make the folder of a file, and return the file."""
    path.parent.mkdir(parents=True)
    return path


def with_teacher(**train: Any) -> Config:
    """Return a configuration of students."""
    given = {"width": 4, "epochs": 2, "batch_size": 8, "threads": 1, "teacher": "birdnet-2.4", "teacher_batch": 8}
    return load_config({"run": {"name": "r"}, "features": {"name": "f", "mels": 16}, "train": given | train})


def test_a_candidate_of_a_configuration_with_a_teacher_learns_from_the_teacher_of_its_fold(taught: Config) -> None:
    config, dataset = with_teacher(), dataset_of(taught, 0)
    logits = np.stack(train(config, Candidate(), dataset, 5)["logits"].to_list())
    np.testing.assert_array_equal(np.stack(train(config, Candidate(), dataset, 5)["logits"].to_list()), logits)
    settings = search_settings(config, Candidate(), 5)
    alone = train(config, Candidate(train={**settings.model_dump(exclude_unset=True), "teacher": None}), dataset, 5)
    assert np.abs(np.stack(alone["logits"].to_list()) - logits).max() > 1e-3
    key = training_key(config, "default (`resnet`)", 0, 5)
    head = Path("results/r/members/fold0.teacher/release/float.onnx")
    head.write_bytes(b"other")
    assert training_key(config, "default (`resnet`)", 0, 5) != key
    with pytest.raises(Exception, match=r"float\.onnx"):
        train(config, Candidate(), dataset, 5)


def test_training_sounds_that_were_not_made_are_named(taught: Config) -> None:
    shutil.rmtree("results/features/f/teaching")
    with pytest.raises(
        SystemExit, match=r"teaching/birdnet-2\.4 has no training sounds; make them with snakemake cross"
    ):
        train(with_teacher(), Candidate(), dataset_of(taught, 0), 5)


def test_unlabelled_recordings_are_refused(taught: Config, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    with pytest.raises(SystemExit, match=r"train.unlabelled is set, and this program uses no unlabelled recordings"):
        train(with_teacher(unlabelled=str(tmp_path / "more")), Candidate(), dataset_of(taught, 0), 5)


def test_folds_and_seeds_are_ranges_or_lists() -> None:
    np.testing.assert_array_equal(numbers("0-3"), [0, 1, 2, 3])
    np.testing.assert_array_equal(numbers("2,0"), [2, 0])
