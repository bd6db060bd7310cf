"""`autobird scores` prints the metrics of the released model, also where a metric or its interval is not available."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autobird import cli
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json

METRICS = (
    "macro_f1", "top1", "top5", "cmap", "auroc", "loss",
    "detection_precision", "detection_recall", "detection_f1", "detection_macro_f1",
)  # fmt: skip


def run(folder: Path, **changes: Any) -> Path:
    """Write the metrics of a finished run; `changes` replaces metrics. Return the folder."""
    cell = {"value": 0.5, "low": 0.25, "high": 0.75}
    level = dict.fromkeys(METRICS, cell) | changes
    species = {"Parus major": {"by_recording": {"detection_precision": None, "detection_recall": cell}}}
    test = {
        "recordings": 9, "recordings_of_one_species": 7, "groups": 5, "windows": 40, "by_recording": level, "by_window": level,
        "by_species": species,
    }  # fmt: skip
    write_json(folder / "evaluation/metrics.json", {"species": 3, "variant": "int8", "confidence": 0.95, "test": test})
    return folder


def test_scores_shows_all_metrics_of_the_released_variant_with_intervals(tmp_path: Path) -> None:
    text = cli.scores(run(tmp_path))
    assert "3 species, variant int8, tested on 9 recordings (40 windows) in 5 independent groups" in text
    assert "2 recordings do not hold exactly one species: left out of macro-F1" in text
    assert text.count("0.500 [0.250, 0.750]") == 2 * len(METRICS)
    assert "95% intervals from resampling groups" in text
    assert "Parus major" not in text


def test_scores_by_species_lists_each_species(tmp_path: Path) -> None:
    line = next(x for x in cli.scores(run(tmp_path), by_species=True).splitlines() if "Parus major" in x)
    assert line.split("Parus major")[1].split() == ["not", "defined", "0.500", "[0.250,", "0.750]"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not defined"),
        ({"value": 0.5, "low": None, "high": None}, "0.500 [interval unknown]"),
        ({"value": None, "low": None, "high": None}, "not defined"),
    ],
)
def test_scores_states_that_a_metric_or_interval_is_not_available(tmp_path: Path, value: Any, text: str) -> None:
    assert text in cli.scores(run(tmp_path, macro_f1=value))


def test_scores_states_that_the_difference_is_not_defined(tmp_path: Path) -> None:
    run(tmp_path)
    write_json(tmp_path / "release/released.json", {"reason": "float: the cheapest"})
    row = {"released": True, "split": "test", "difference": None, "difference_low": None, "difference_high": None}
    pd.DataFrame([row]).to_csv(tmp_path / "release/comparison.csv", index=False)
    assert "differs from that of the float network, paired, by not defined" in cli.scores(tmp_path)


def test_scores_of_a_run_of_an_older_version_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    write_json(tmp_path / "evaluation/metrics.json", {"test": {"recordings": 3}})
    with pytest.raises(AutobirdError, match="older version of Autobird; run snakemake again"):
        cli.scores(tmp_path)
