"""The programs of the architecture search: its network with the defaults is `resnet`, and all candidates can be trained."""

import json
import os
import re
import shutil
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from tests.conftest import ROOT
from tests.heads import write_head
from tests.label_sets import label_columns

sys.path.insert(0, str(ROOT / "scripts"))

from architecture_candidates import CANDIDATES, Candidate, Network
from architecture_search import (
    METRICS,
    NAMES,
    SeedsAndFolds,
    cost,
    dataset_of,
    differences,
    different_candidates,
    digest,
    main,
    mel_settings,
    numbers,
    pooled,
    print_tables,
    scores,
    teaching_files,
    train,
    training_key,
    trainings_of,
)
from architecture_search import settings_of as search_settings
from autobird.audio.amplitude_scaling import scaling_of
from autobird.audio.npy import NpyWriter
from autobird.audio.settings import MelSettings
from autobird.audio.windows import frames_per_window
from autobird.backbone.teach import TRAINING_SOUNDS
from autobird.config import Config, load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.tables import write_table
from autobird.evaluation.bootstrap import difference_interval
from autobird.evaluation.interval_json import interval_json
from autobird.evaluation.interval_text import interval_text
from autobird.evaluation.metrics import Weighting, all_metrics
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
    """Return a configuration whose windows, of three species, are in the working directory: the data set in `dataset`.

    A third batch of mel frames is left over from more batches.
    """
    monkeypatch.chdir(tmp_path)
    names = {"train": {"width": 4, "epochs": 2, "batch_size": 8, "threads": 1}, "features": {"name": "f", "mels": 16}}
    config = load_config(names | {"run": {"name": "r"}, "corpus": {"batches": 2}})
    frames = frames_per_window(mel_settings(config).window_samples, mel_settings(config).hop_length)
    n = 24
    mels = np.random.default_rng(0).normal(-9, 1, (n, frames, 16)).astype(np.float16)
    for i in range(n):
        mels[i, :, 4 * (i % 3) : 4 * (i % 3) + 3] += 4
    Path("results/features/f/mels").mkdir(parents=True)
    for batch, of_batch in enumerate([mels[:12], mels[12:], mels[::-1]]):
        with NpyWriter(Path(f"results/features/f/mels/{batch}.npy"), "<f2", (16,)) as out:
            out.append(of_batch.reshape(-1, 16))
    split = np.array(["train", "validation", "test"])[np.arange(n) // 3 % 3]
    labels = [f"s{i % 3}" for i in range(n)]
    index = {
        "recording": [f"r{i:02d}" for i in range(n)],
        "start": 0,
        "split": split,
        "recording_split": split,
        "shard": np.arange(n) // 12,
        "dropped": "",
    }
    index |= {
        "earliest": 0,
        "latest": 0,
        "rms": 0.1,
        "negative": False,
        "quiet": False,
        "first_frame": np.arange(n) % 12 * frames,
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
    folder, shards = Path("dataset"), [Path(f"results/features/f/mels/{batch}.npy") for batch in range(2)]
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


@pytest.mark.parametrize(
    ("split", "remedy"), [("train", "independent$"), ("validation", "independent, or train.select to last")]
)
def test_softmax_outputs_need_windows_of_one_species(searched: Config, split: str, remedy: str) -> None:
    table = pd.read_parquet("dataset/index.parquet")
    table["present"] = [
        ["s0", "s1"] if here else names for here, names in zip(table["split"] == split, table["present"], strict=True)
    ]
    table.to_parquet("dataset/index.parquet")
    candidate = Candidate(train={"outputs": "softmax", "select": "best"})
    with pytest.raises(
        AutobirdError, match=rf"exactly one species, and the {split} split has none; set train.outputs to {remedy}"
    ):
        train(searched, candidate, Path("dataset"), 5)


def fold_of(number: int, right: float, labels: tuple[str, ...] = ("s0", "s1", "s2")) -> pd.DataFrame:
    """Return the windows of twelve recordings in eight groups, half of them in each split, four of each species.

    Of a share of them the logit of the right species is the highest; `labels` is the order of the logits.
    """
    n = np.arange(24)
    species = n % 3
    shown = np.where(n % 12 < 12 * right, species, (species + 1) % 3)
    names = [f"s{number}" for number in species]
    split = np.where(n < 12, "validation", "test")
    logits = (4.0 * np.eye(3, dtype=np.float32)[shown] - 2)[:, [int(name[1]) for name in labels]]
    table = pd.DataFrame(
        {
            "recording": [f"fold{number}.{i}" for i in n], "group": [f"fold{number}.{i % 3}.{i // 6}" for i in n], "start": 0,
            "number": 0, "split": split, "recording_split": split, "rms": 0.1, "negative": False, "quiet": False, "logits": list(logits),
        }
        | label_columns(names)
    ).assign(recording_present=[[name] for name in names])  # fmt: skip
    for kind in ("absent", "unknown", "default"):
        table[f"recording_{kind}"] = table[kind]
    costs = {"parameters": 2_000_000, "operations": 3_000_000, "cpu_seconds": 4.0}
    made_with = {"network": "None", "settings": '{"seed": 5}', "features": MelSettings().model_dump_json()}
    table.attrs |= costs | made_with | {"labels": list(labels), "outputs": "independent"}
    return table


def mean_scores(trainings: SeedsAndFolds, seeds: list[int], folds: list[int], split: str) -> np.ndarray:
    """Return the means over seeds of the scores of the pooled folds."""
    return np.mean([scores([trainings[seed][fold] for fold in folds], split) for seed in seeds], axis=0)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_differences_are_paired_over_the_seeds_and_folds_that_both_have(split: str) -> None:
    reference = {4: {0: fold_of(0, 0.5), 1: fold_of(1, 0.75)}, 5: {0: fold_of(0, 0.25), 1: fold_of(1, 0.75)}}
    other = {5: {0: fold_of(0, 1.0), 1: fold_of(1, 0.5)}, 4: {1: fold_of(1, 1.0)}, 6: {0: fold_of(0, 0.25)}}
    found = differences(other, reference, split, Config())
    assert (found.seeds, found.folds) == ([4, 5], [1])
    expected = mean_scores(other, [4, 5], [1], split) - mean_scores(reference, [4, 5], [1], split)
    np.testing.assert_allclose([interval[0] for interval in found.intervals if interval], expected)
    of_one_seed = differences({5: other[5]}, reference, split, Config())
    assert (of_one_seed.seeds, of_one_seed.folds) == ([5], [0, 1])
    expected = mean_scores(other, [5], [0, 1], split) - mean_scores(reference, [5], [0, 1], split)
    np.testing.assert_allclose([interval[0] for interval in of_one_seed.intervals if interval], expected)
    same = differences(reference, reference, split, Config())
    assert [interval[0] for interval in same.intervals if interval] == [0.0] * 4


def test_the_interval_of_a_difference_is_that_of_paired_resamples_of_the_groups() -> None:
    reference = {4: {0: fold_of(0, 0.5), 1: fold_of(1, 0.75)}}
    other = {4: {0: fold_of(0, 1.0, labels=("s2", "s0", "s1")), 1: fold_of(1, 0.5)}}
    config = load_config({"evaluation": {"resamples": 300, "confidence": 0.8, "seed": 7}})
    found = differences(other, reference, "test", config)
    split, of_reference = (pooled(list(of[4].values()), "test") for of in (other, reference))
    assert len(np.unique(split.group)) < len(split.recordings)
    resamples = split.resamples(300, 7)
    position = 0
    for kind, names in METRICS.items():
        own, base = (getattr(part, kind) for part in (split, of_reference))
        for name in names:
            change = (
                all_metrics(own, Weighting.of(resamples, own))[name].values
                - all_metrics(base, Weighting.of(resamples, base))[name].values
            )
            assert found.intervals[position] == difference_interval(change, resamples, 0.8)
            position += 1
    assert position == len(found.intervals)


def test_differences_of_other_data_or_trainings_are_refused() -> None:
    reference = {4: {0: fold_of(0, 0.5)}}
    with pytest.raises(AutobirdError, match=r"no training of the same seeds and folds"):
        differences({5: {0: fold_of(0, 0.5)}}, reference, "validation", Config())
    with pytest.raises(AutobirdError, match=r"no training of the same seeds and folds"):
        differences({4: {1: fold_of(1, 0.5)}}, reference, "validation", Config())
    for column, value in (("number", 1), ("group", "one"), ("split", "test"), ("recording", "another"), ("default", "unknown"),
                          ("present", ["s1"]), ("recording_absent", ["s2"])):  # fmt: skip
        changed = fold_of(0, 0.5)
        changed.at[3, column] = value
        with pytest.raises(AutobirdError, match=r"other recordings, windows or labels than the reference"):
            differences({4: {0: changed}}, reference, "validation", Config())
    of_more_species = fold_of(0, 0.5)
    of_more_species.attrs["labels"] = ["s0", "s1", "s3"]
    with pytest.raises(AutobirdError, match=r"other recordings, windows or labels than the reference"):
        differences({4: {0: of_more_species}}, reference, "validation", Config())


def test_trainings_with_other_features_are_compared_if_their_windows_are_the_same() -> None:
    reference = {4: {0: fold_of(0, 0.5)}}
    at_another_rate = fold_of(0, 0.5).assign(rms=0.2, start=1, mel_std=3.0)
    at_another_rate.attrs["features"] = MelSettings(sample_rate=32000, mels=32).model_dump_json()
    at_another_rate["present"] = at_another_rate["present"].map(np.array)  # as it is read from a file
    found = differences({4: {0: at_another_rate}}, reference, "validation", Config())
    assert [interval[0] for interval in found.intervals if interval] == [0.0] * 4


@pytest.mark.parametrize("other", [{"window": 3.0}, {"hop": 5.0}])
def test_trainings_with_windows_of_another_length_or_hop_are_not_compared(other: dict[str, float]) -> None:
    """Short recordings have as many windows of either length."""
    changed = fold_of(0, 0.5)
    changed.attrs["features"] = MelSettings.model_validate(other).model_dump_json()
    with pytest.raises(AutobirdError, match=r"other recordings, windows or labels than the reference"):
        differences({4: {0: changed}}, {4: {0: fold_of(0, 0.5)}}, "validation", Config())


def test_of_another_run_older_trainings_with_other_settings_are_left_out(
    searched: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path("logits")
    folder.mkdir()
    for name, fold, seed, epochs, time in (
        ("9", 0, 4, 60, 1),
        ("0", 0, 4, 30, 2),
        ("8", 1, 4, 60, 1),
        ("1", 0, 5, 30, 2),
    ):
        table = fold_of(fold, 0.5)
        table.attrs |= {
            "run": "pcen",
            "candidate": "c",
            "fold": fold,
            "seed": seed,
            "settings": f'{{"epochs": {epochs}, "seed": {seed}}}',
        }
        table.to_pickle(folder / f"{name}.pkl")
        os.utime(folder / f"{name}.pkl", (time, time))
    found = trainings_of(folder, searched)["pcen", "c"]
    kept = {
        (seed, fold): json.loads(table.attrs["settings"])["epochs"]
        for seed, of in found.items()
        for fold, table in of.items()
    }
    assert kept == {(4, 0): 30, (5, 0): 30}
    printed = capsys.readouterr().out
    assert [f"{name}.pkl is left out: a newer training of pcen, c has" in printed for name in "9018"] == [
        True,
        False,
        False,
        True,
    ]


def stored(folder: Path, config: Config, name: str, seed: int, tables: dict[int, pd.DataFrame]) -> None:
    """Write the files of trainings that the program takes for its own."""
    folder.mkdir(exist_ok=True)
    for fold, table in tables.items():
        table.attrs |= training_key(config, name, fold, seed)
        table.to_pickle(folder / f"{len(list(folder.iterdir()))}.pkl")


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of all rows of Markdown tables."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]


def test_the_tables_have_means_over_the_seeds_and_differences_from_the_reference(
    searched: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    config, logits = Path("config.yaml"), Path("logits")
    config.write_text(yaml.safe_dump(searched.model_dump(mode="json", exclude_unset=True)))
    better = {4: {0: fold_of(0, 1.0), 1: fold_of(1, 1.0)}, 5: {0: fold_of(0, 0.75), 1: fold_of(1, 1.0)}}
    base = {4: {0: fold_of(0, 0.5), 1: fold_of(1, 0.5)}, 5: {0: fold_of(0, 0.75), 1: fold_of(1, 0.5)}}
    for seed in (4, 5):
        stored(logits, searched, "width 8", seed, better[seed])
        stored(logits, searched, "default (`resnet`)", seed, base[seed])
    stored(logits, searched, "width 24", 6, {0: fold_of(0, 0.5)})
    other_features = fold_of(0, 1.0).assign(rms=0.2)
    other_features.attrs |= {"run": "pcen", "candidate": "default (`resnet`)", "fold": 0, "seed": 5}
    other_features.to_pickle(logits / "other.pkl")
    main([str(config), "--logits", str(logits), "--table", "--test", "--reference", "default (`resnet`)"])
    printed = capsys.readouterr().out
    assert re.search(
        r"r, width 24 is left out: it has no training of the same seeds and folds as the reference", printed
    )
    header, _, *rows = rows_of(printed.split("Differences from")[0])
    values = {row[1]: dict(zip(header, row, strict=True)) for row in rows if row[0] == "r"}
    assert sorted(row[0] for row in rows) == ["pcen", "r", "r", "r"]
    for split in ("validation", "test"):
        expected = mean_scores(better, [4, 5], [0, 1], split)
        for name, value in zip(NAMES, expected, strict=True):
            assert values["width 8"][f"{split} {name}"] == f"{value:.3f}"
    assert next(iter(values)) == "width 8"
    header, _, *rows = rows_of(printed.split("Differences from default (`resnet`):")[1])
    rows.sort(reverse=True)
    assert [row[:4] for row in rows] == [["r", "width 8", "0, 1", "4, 5"], ["pcen", "default (`resnet`)", "0", "5"]]
    for split in ("validation", "test"):
        intervals = differences(better, base, split, searched).intervals
        for name, interval in zip(NAMES, intervals, strict=True):
            assert interval is not None
            assert interval[0] > 0
            text = interval_text(interval_json(interval), sign=True)
            assert dict(zip(header, rows[0], strict=True))[f"{split} {name}"] == text


def test_trainings_of_other_settings_and_missing_references_are_named(
    searched: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    config, logits = Path("config.yaml"), Path("logits")
    config.write_text(yaml.safe_dump(searched.model_dump(mode="json", exclude_unset=True)))
    stored(logits, searched, "width 8", 4, {0: fold_of(0, 0.5)})
    stale = fold_of(0, 0.25)
    stored(logits, searched, "width 32", 4, {0: stale})
    stale.attrs["settings"] = "other"
    stale.to_pickle(logits / "1.pkl")
    arguments = [str(config), "--logits", str(logits), "--table"]
    with pytest.raises(AutobirdError, match=r"logits has no training of the reference, width 32, of the run r"):
        main([*arguments, "--reference", "width 32"])
    assert "1.pkl is left out: its settings or data are no longer those of width 32" in capsys.readouterr().out
    with pytest.raises(AutobirdError, match=r"logits has no training to compare with width 8"):
        main([*arguments, "--reference", "width 8"])
    with pytest.raises(SystemExit):
        main([*arguments, "--reference", "width 7"])
    assert "no candidate is named 'width 7'" in capsys.readouterr().err
    (logits / "0.pkl").unlink()
    with pytest.raises(AutobirdError, match=r"logits has no trainings"):
        main(arguments)


def test_seeds_without_a_common_fold_are_an_error(searched: Config) -> None:
    stored(Path("logits"), searched, "width 8", 4, {0: fold_of(0, 0.5)})
    stored(Path("logits"), searched, "width 8", 5, {1: fold_of(1, 0.5)})
    with pytest.raises(AutobirdError, match=r"logits has no trainings, or no fold that was trained with all seeds"):
        print_tables(searched, Path("logits"), ("validation",), None)


@pytest.fixture
def taught(searched: Config) -> Config:
    """Return the same for students: the data set is that of folds 0 and 1, with two batches of training sounds and other teachers."""
    for fold in (0, 1):
        shutil.copytree("dataset", dataset_of(searched, fold))
    sounds = made(Path("results/features/f/teaching/birdnet-2.4/0.npy")).parent
    frames = np.concatenate([np.load(f"results/features/f/mels/{batch}.npy") for batch in range(2)]).reshape(24, -1, 16)
    for batch, name in enumerate(["r00", "r01"]):
        np.save(sounds / f"{batch}.npy", np.roll(frames[batch::2], 5, axis=1).reshape(-1, 16))
        embeddings = np.random.default_rng(batch).normal(size=(12, 6)).astype(np.float16)
        np.save(sounds / f"{batch}.embeddings.npy", embeddings)
        table = pd.DataFrame({"recording": [name] * 12, "partner": ""})
        write_table(sounds / f"{batch}.parquet", table, TRAINING_SOUNDS)
    for fold in (0, 1):
        head = made(Path(f"results/r/members/fold{fold}.teacher/release/float.onnx"))
        write_head(head, width=6, species=3)
        species = {f"s{n}": {"threshold": 0.5, "scale": 1.0 + 2 * fold, "offset": 0.0} for n in range(3)}
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
    names = {"run": {"name": "r"}, "features": {"name": "f", "mels": 16}, "corpus": {"batches": 2}}
    return load_config(names | {"train": given | train})


def test_a_candidate_of_a_configuration_with_a_teacher_learns_from_the_teacher_of_its_fold(taught: Config) -> None:
    config, dataset = with_teacher(), dataset_of(taught, 1)
    logits = np.stack(train(config, Candidate(), dataset, 5)["logits"].to_list())
    head = Path("results/r/members/fold1.teacher/release/float.onnx")
    shutil.copyfile(head.parents[2] / "fold0.teacher/release/calibration.json", head.with_name("calibration.json"))
    of_another = np.stack(train(config, Candidate(), dataset, 5)["logits"].to_list())
    assert np.abs(of_another - logits).max() > 1e-3
    sounds = Path("results/features/f/teaching/birdnet-2.4")
    files = teaching_files(config, search_settings(config, Candidate(), 5), dataset)
    assert files is not None
    assert files.head == head
    assert files.calibration == head.with_name("calibration.json")
    assert files.mels == [sounds / "0.npy", sounds / "1.npy"]
    assert files.embeddings == [sounds / "0.embeddings.npy", sounds / "1.embeddings.npy"]
    assert files.tables == [sounds / "0.parquet", sounds / "1.parquet"]


def test_a_training_with_another_teacher_is_another_training(taught: Config) -> None:
    key = training_key(with_teacher(), "default (`resnet`)", 0, 5)
    head = Path("results/r/members/fold0.teacher/release/float.onnx")
    head.write_bytes(head.with_name("calibration.json").read_bytes())
    digest.cache_clear()
    changed = training_key(with_teacher(), "default (`resnet`)", 0, 5)
    assert {part for part, value in key.items() if changed[part] != value} == {"teaching"}


def test_the_candidate_without_a_teacher_is_the_default_with_the_settings_of_the_user() -> None:
    settings = search_settings(with_teacher(learning_rate=0.001), CANDIDATES["without a teacher"], 5)
    expected = TrainSettings(width=4, epochs=2, batch_size=8, threads=1, teacher_batch=8, learning_rate=0.001, seed=5)
    assert settings == expected
    plain = load_config({"train": {"teacher": "birdnet-2.4"}})
    assert search_settings(plain, CANDIDATES["without a teacher"], 5) == TrainSettings(seed=5)
    whole_windows = load_config({"train": {"teacher": "birdnet-2.4"}, "features": {"alignment": "window"}})
    assert search_settings(whole_windows, CANDIDATES["without a teacher"], 5).crop_seconds == 0


def test_a_candidate_that_equals_another_is_trained_once(capsys: pytest.CaptureFixture[str]) -> None:
    names = different_candidates(load_config({}))
    assert "no crops" in names
    assert "random crops of up to 1.25 s" not in names
    assert "random crops of up to 1.25 s is not trained: with this configuration, it is the same as default" in (
        capsys.readouterr().out
    )
    names = different_candidates(load_config({"train": {"teacher": "birdnet-2.4"}}))
    assert "no crops" not in names
    assert {"random crops of up to 1.25 s", "without a teacher", "crops and background noise, 60 epochs"} < set(names)


def test_files_of_a_teacher_that_were_not_made_are_named(taught: Config, capsys: pytest.CaptureFixture[str]) -> None:
    config = with_teacher()
    stored(Path("logits"), config, "default (`resnet`)", 5, {0: fold_of(0, 0.5)})
    Path("results/r/members/fold0.teacher/release/calibration.json").unlink()
    with pytest.raises(
        AutobirdError, match=r"fold0\.teacher/release/calibration\.json is missing; make it with snakemake cross"
    ):
        train(config, Candidate(), dataset_of(taught, 0), 5)
    with pytest.raises(AutobirdError, match=r"logits has no trainings"):
        print_tables(config, Path("logits"), ("validation",), None)
    assert re.search(
        r"0\.pkl, default .* is left out because it cannot be checked: .*calibration", capsys.readouterr().out
    )
    shutil.rmtree("results/features/f/teaching")
    with pytest.raises(
        AutobirdError, match=r"teaching/birdnet-2\.4/0\.npy is missing; make it with snakemake crossval"
    ):
        train(config, Candidate(), dataset_of(taught, 0), 5)


def test_a_student_also_learns_from_unlabelled_recordings(taught: Config, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    config, dataset = with_teacher(unlabelled=str(tmp_path / "more")), dataset_of(taught, 0)
    without, plain = CANDIDATES["without unlabelled recordings"], with_teacher()
    assert search_settings(config, without, 5) == search_settings(plain, Candidate(), 5)
    assert search_settings(config, CANDIDATES["without a teacher"], 5).unlabelled is None
    with pytest.raises(
        AutobirdError, match=r"teaching/birdnet-2\.4/unlabelled/0\.npy is missing; make it with snakemake cross"
    ):
        train(config, Candidate(), dataset, 5)
    sounds = Path("results/features/f/teaching/birdnet-2.4")
    (sounds / "unlabelled").mkdir()
    for suffix in (".npy", ".embeddings.npy", ".parquet"):
        shutil.copyfile(sounds / f"1{suffix}", sounds / f"unlabelled/0{suffix}")
        shutil.copyfile(sounds / f"0{suffix}", sounds / f"unlabelled/1{suffix}")
    files = teaching_files(config, search_settings(config, Candidate(), 5), dataset)
    assert files is not None
    assert files.unlabelled == 2
    assert files.tables == [
        sounds / name for name in ("0.parquet", "1.parquet", "unlabelled/0.parquet", "unlabelled/1.parquet")
    ]
    assert files.mels[2:] == [sounds / "unlabelled/0.npy", sounds / "unlabelled/1.npy"]
    assert teaching_files(config, search_settings(config, without, 5), dataset) == teaching_files(
        plain, search_settings(plain, Candidate(), 5), dataset
    )
    with_more, base = (np.stack(train(config, of, dataset, 5)["logits"].to_list()) for of in (Candidate(), without))
    assert np.abs(with_more - base).max() > 1e-3
    np.testing.assert_array_equal(base, np.stack(train(plain, Candidate(), dataset, 5)["logits"].to_list()))


def test_folds_and_seeds_are_ranges_or_lists() -> None:
    np.testing.assert_array_equal(numbers("0-3"), [0, 1, 2, 3])
    np.testing.assert_array_equal(numbers("2,0"), [2, 0])
