"""The program that scales the measured time of each rule to a corpus of 114 species."""

import sys
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import costs
from autobird.model.settings import TrainSettings

JOB = costs.Measured([100.0], 0.0, 1.0)


@pytest.mark.parametrize("rule", sorted(costs.TRAINING))
def test_a_training_is_scaled_to_the_epochs_of_the_default_settings(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = TrainSettings().epochs
    assert costs.scale(rule, JOB, costs.HOURS, costs.WINDOWS, default) == 100
    assert costs.scale(rule, JOB, costs.HOURS, costs.WINDOWS // 2, default // 2) == pytest.approx(400, rel=1e-4)
    monkeypatch.setattr(costs, "TrainSettings", lambda: SimpleNamespace(epochs=7 * default))
    assert costs.scale(rule, JOB, costs.HOURS, costs.WINDOWS, default) == 700
