"""The programs of the architecture search: its network with the defaults is `resnet`, and all candidates can be trained."""

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import ROOT
from tests.label_sets import label_columns

sys.path.insert(0, str(ROOT / "scripts"))

from architecture_candidates import CANDIDATES, Candidate, Network
from architecture_search import cost, mel_settings, numbers, train
from architecture_search import settings_of as search_settings
from autobird.audio.amplitude_scaling import scaling_of
from autobird.audio.npy import NpyWriter
from autobird.audio.windows import frames_per_window
from autobird.config import Config, load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
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


def test_folds_and_seeds_are_ranges_or_lists() -> None:
    np.testing.assert_array_equal(numbers("0-3"), [0, 1, 2, 3])
    np.testing.assert_array_equal(numbers("2,0"), [2, 0])
