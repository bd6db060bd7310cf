"""The programs of the architecture search: its network with the defaults is `resnet`, and all candidates can be trained."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from architecture_candidates import CANDIDATES, Network
from architecture_search import cost, numbers
from autobird.model.networks import build_network
from autobird.model.settings import TrainSettings
from left_out_kinds import KINDS, LEFT_OUT, SEEDS, fold_of, without_kind


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


def test_folds_and_seeds_are_ranges_or_lists() -> None:
    np.testing.assert_array_equal(numbers("0-3"), [0, 1, 2, 3])
    np.testing.assert_array_equal(numbers("2,0"), [2, 0])


def test_a_kind_that_is_left_out_is_in_no_split_of_the_training() -> None:
    names = ["negatives/speech/a.ogg", "negatives/loops/b.ogg", "songs/speech/c.ogg"]
    index = pd.DataFrame({"recording": names, "split": "train", "recording_split": ["train", "train", "test"]})
    changed = without_kind(index, "speech")
    assert changed["split"].to_list() == [LEFT_OUT, "train", "train"]
    assert changed["recording_split"].to_list() == [LEFT_OUT, "train", "test"]
    assert index["split"].to_list() == ["train"] * 3
    with pytest.raises(SystemExit, match="no recording lies in negatives/esc10/rain/"):
        without_kind(index, "rain")


def test_a_kind_is_left_out_on_different_folds() -> None:
    folds = [fold_of(kind, seed) for kind in KINDS for seed in SEEDS]
    assert set(folds) == set(range(5))
    assert max(map(folds.count, set(folds))) - min(map(folds.count, set(folds))) <= 1
    assert all(len({fold_of(kind, seed) for seed in SEEDS}) == len(SEEDS) for kind in KINDS)
