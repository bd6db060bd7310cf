"""The scores of a cross-validation in the model card."""

from pathlib import Path
from typing import Any

import pytest

from autobird.core.files import write_json
from autobird.release.card_crossval import crossval_lines, read_crossval


def score(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.05}


def result(seeds: list[int]) -> dict[str, Any]:
    metrics = {"macro_f1": score(0.7), "detection_macro_f1": score(0.6), "cmap": None}
    return {"folds": 5, "seeds": seeds, "recordings": 150, "groups": 62, "by_recording": metrics}


TEST = {"recordings": 30, "by_recording": {name: score(0.8) for name in ("macro_f1", "detection_macro_f1", "cmap")}}


def test_the_card_shows_the_pooled_scores_beside_those_of_the_test_split() -> None:
    text = "\n".join(crossval_lines(result([4, 5]), TEST))
    assert "In a cross-validation with 5 folds, every recording was tested by 2 networks (different seeds)" in text
    assert "It tests 150 recordings in 62 groups instead of 30 recordings" in text
    assert "| macro-F1 of the most probable species | 0.700 [0.600, 0.750] | 0.800 [0.700, 0.850] |" in text
    assert "| cmAP | not defined | 0.800 [0.700, 0.850] |" in text
    assert "by a network trained" in "\n".join(crossval_lines(result([4]), TEST))
    assert crossval_lines(None, TEST) == []

    average = result([4]) | {"ensemble": {"mode": "average", "seeds": [4, 5]}}
    assert "was tested by an ensemble of 2 networks trained in the same way" in "\n".join(crossval_lines(average, TEST))
    distilled = result([4]) | {"ensemble": {"mode": "distill", "seeds": [4, 5]}}
    expected = "was tested by a network, taught by an ensemble of 2 networks and trained in the same way"
    assert expected in "\n".join(crossval_lines(distilled, TEST))


@pytest.mark.parametrize("folder", ["crossval", "crossval/ensemble"])
def test_a_cross_validation_with_other_settings_is_not_shown(tmp_path: Path, folder: str) -> None:
    file, single = tmp_path / folder / "crossval.json", {"ensemble": "none"}
    model = {"features": {}, "train": {"width": 8, "seed": 4}}
    write_json(file, result([4]))
    write_json(tmp_path / "model/model.json", model)
    write_json(tmp_path / "members/fold0.seed4/model/model.json", model)
    assert read_crossval(file, single) == result([4])
    write_json(tmp_path / "model/model.json", {"features": {}, "train": {"width": 16, "seed": 4}})
    assert read_crossval(file, single) is None
    assert read_crossval(tmp_path / "missing/crossval.json", single) is None
    assert read_crossval(None, single) is None


def test_a_cross_validation_of_other_ensembles_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "crossval/ensemble/crossval.json"
    write_json(file, result([4]) | {"ensemble": {"mode": "average", "seeds": [4, 5]}})
    assert read_crossval(file, {"ensemble": "average", "seeds": [5, 4]}) is not None
    assert read_crossval(file, {"ensemble": "distill", "seeds": [4, 5]}) is None
    assert read_crossval(file, {"ensemble": "average", "seeds": [4, 5, 6]}) is None
    assert read_crossval(file, {"ensemble": "none"}) is None
