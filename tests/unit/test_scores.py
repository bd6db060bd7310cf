"""`autobird scores`: the scores of the released model, and how unknown values are printed."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autobird.commands import scores
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_json

METRICS = (
    "macro_f1", "top1", "top5", "cmap", "auroc", "loss",
    "detection_precision", "detection_recall", "detection_f1", "detection_macro_f1",
)  # fmt: skip


NO_NEGATIVES = {"recordings": 0, "groups": 0, "hours": 0.0, "false_alarms": 0.0, "per_hour": None}


def run(folder: Path, **changes: Any) -> Path:
    """Write the scores of a finished run; `changes` replace single metrics."""
    cell = {"value": 0.5, "low": 0.25, "high": 0.75}
    level = dict.fromkeys(METRICS, cell) | changes
    species = {"Parus major": {"by_recording": {"detection_precision": None, "detection_recall": cell}}}
    test = {
        "recordings": 9, "recordings_of_one_species": 7, "groups": 5, "windows": 40, "by_recording": level, "by_window": level,
        "by_species": species, "negatives": NO_NEGATIVES,
    }  # fmt: skip
    write_json(folder / "evaluation/metrics.json", {"species": 8, "variant": "int8", "confidence": 0.95, "test": test})
    return folder


def test_scores_of_the_released_variant_are_printed_with_detections_and_intervals(tmp_path: Path) -> None:
    text = scores.format_scores(run(tmp_path))
    assert "8 species, variant int8, tested on 9 recordings (40 windows) in 5 independent groups" in text
    assert "2 recordings do not contain exactly one species: not used for macro-F1" in text
    assert text.count("0.500 [0.250, 0.750]") == 2 * len(METRICS)
    assert "95% confidence intervals" in text
    assert "Parus major" not in text


def test_false_alarms_per_hour_are_printed_or_that_they_are_not_measured(tmp_path: Path) -> None:
    run(tmp_path)
    text = "  false alarms per hour: not measured, because no test recording is known to hold none of the species"
    assert text in scores.format_scores(tmp_path).splitlines()
    file = tmp_path / "evaluation/metrics.json"
    metrics = read_json(file)
    metrics["test"]["negatives"] = {
        "recordings": 12, "groups": 4, "hours": 1.5, "false_alarms": 6.0, "per_hour": {"value": 4.0, "low": 1.2345, "high": None},
    }  # fmt: skip
    write_json(file, metrics)
    line = next(x for x in scores.format_scores(tmp_path).splitlines() if "false alarms" in x)
    assert line == (
        "  false alarms per hour: 4 [interval unknown] (6 in 1.5 hours of 12 recordings without any species, 4 independent groups)"
    )


def test_each_species_is_listed_on_request(tmp_path: Path) -> None:
    line = next(x for x in scores.format_scores(run(tmp_path), by_species=True).splitlines() if "Parus major" in x)
    assert line.split("Parus major")[1].split() == ["not", "defined", "0.500", "[0.250,", "0.750]"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not defined"),
        ({"value": 0.5, "low": None, "high": None}, "0.500 [interval unknown]"),
        ({"value": None, "low": None, "high": None}, "not defined"),
    ],
)
def test_undefined_scores_and_unknown_intervals_are_printed_as_such(tmp_path: Path, value: Any, text: str) -> None:
    assert text in scores.format_scores(run(tmp_path, macro_f1=value))


def test_an_undefined_difference_from_the_float32_model_is_printed_as_such(tmp_path: Path) -> None:
    run(tmp_path)
    write_json(tmp_path / "release/released.json", {"reason": "float: the cheapest; int8 may lose up to 0.0400"})
    row = {"released": True, "split": "test", "difference": None, "difference_low": None, "difference_high": None}
    pd.DataFrame([row, row | {"released": False}]).to_csv(tmp_path / "release/comparison.csv", index=False)
    text = scores.format_scores(tmp_path)
    assert "its macro-F1 minus that of the float32 model is not defined" in text
    assert "released: float: the cheapest\n          int8 may lose up to 0.0400\n" in text


def test_a_single_variant_has_no_difference_from_itself(tmp_path: Path) -> None:
    run(tmp_path)
    write_json(tmp_path / "release/released.json", {"reason": "float: the only variant; files of 24.7 kB (head)"})
    of_head = {"variant": "float", "released": True, "difference": 0.0, "difference_low": 0.0, "difference_high": 0.0}
    rows = [of_head | {"split": split} for split in ("validation", "test")]
    pd.DataFrame(rows).to_csv(tmp_path / "release/comparison.csv", index=False)
    text = scores.format_scores(tmp_path)
    assert "released: float: the only variant\n          files of 24.7 kB (head)\nreport:" in text
    assert "float32 model" not in text
    assert "release gate" not in text
    others = [row | {"variant": "int8", "released": False} for row in rows]
    pd.DataFrame([*rows, *others]).to_csv(tmp_path / "release/comparison.csv", index=False)
    text = scores.format_scores(tmp_path)
    assert "on the test recordings, its macro-F1 minus that of the float32 model is 0.000 [0.000, 0.000]\n" in text
    assert "(release gate: the rule that selects the variant" in text


def test_the_pooled_scores_of_a_cross_validation_are_printed_apart(tmp_path: Path) -> None:
    run(tmp_path)
    assert "cross-validation" not in scores.format_scores(tmp_path)
    level = {name: {"value": 0.7, "low": 0.65, "high": 0.75, "seeds": {"0": 0.7}} for name in METRICS}
    result = {
        "folds": 5,
        "seeds": [0, 1],
        "labels": [*"abcdefgh"],
        "confidence": 0.95,
        "recordings": 40,
        "windows": 80,
        "groups": 30,
        "by_recording": level,
        "by_window": level,
    }
    write_json(tmp_path / "crossval/crossval.json", result)
    text = scores.format_scores(tmp_path)
    tested, pooled = text.split("cross-validation (other networks than the released one): ")
    assert pooled.startswith(
        "pooled over 5 folds, mean of 2 seeds, 40 recordings (80 windows) in 30 independent groups"
    )
    assert tested.count("0.500 [") == 2 * len(METRICS)
    assert pooled.count("0.700 [0.650, 0.750]") == 2 * len(METRICS)
    for mode, networks, other in (
        ("average", "ensembles of 3 networks", "ensembles"),
        ("distill", "networks taught by ensembles of 3 networks", "networks"),
    ):
        of_ensembles = result | {"seeds": [0], "ensemble": {"mode": mode, "seeds": [0, 1, 2]}}
        write_json(tmp_path / "crossval/ensemble/crossval.json", of_ensembles)
        both = scores.format_scores(tmp_path)
        assert both.count("0.700 [0.650, 0.750]") == 4 * len(METRICS)
        assert f"(other {other} than the released one): pooled over 5 folds, {networks}, 40 recordings" in both
    (tmp_path / "evaluation/metrics.json").unlink()
    alone = scores.format_scores(tmp_path)
    first, header, *rest = alone.splitlines()
    assert first.startswith(f"{tmp_path.name}: cross-validation: pooled over 5 folds, mean of 2 seeds, 40 recordings")
    assert header.split() == ["most", "probable", "species", "per", "recording", "per", "window"]
    assert (
        "  ([...]: 95% confidence intervals; cmAP: class-mean average precision, 1 is best; loss: cross-entropy)"
        in rest
    )
    assert "species.csv" not in alone
    assert f"species:  {tmp_path / 'crossval/species.csv'}" in scores.format_scores(tmp_path, by_species=True)
    assert alone.count("0.700 [0.650, 0.750]") == 2 * len(METRICS)
    (tmp_path / "crossval/crossval.json").unlink()
    with pytest.raises(AutobirdError, match=r"metrics\.json does not exist"):
        scores.format_scores(tmp_path)


def test_recordings_and_species_that_are_not_used_are_named(tmp_path: Path) -> None:
    run(tmp_path)
    counts = {
        "recordings": 41,
        "recordings_used": 41,
        "recordings_filtered": 0,
        "recordings_quarantined": 0,
        "left_out": {},
    }
    write_json(tmp_path / "dataset/counts.json", counts)
    text = scores.format_scores(tmp_path)
    assert "quarantined" not in text
    assert "not trained" not in text
    counts |= {"recordings_used": 35, "recordings_filtered": 2, "recordings_quarantined": 4}
    write_json(
        tmp_path / "dataset/counts.json",
        counts | {"left_out": {"Corvus corone": "5 windows, dataset.min_windows is 10"}},
    )
    lines = scores.format_scores(tmp_path).splitlines()
    assert "  of 41 recordings, 35 are used; 4 are quarantined, and 2 have no window that can be used" in lines
    assert "  1 species is not trained: Corvus corone (5 windows, dataset.min_windows is 10)" in lines


def test_the_top_5_of_five_species_is_not_printed(tmp_path: Path) -> None:
    file = run(tmp_path) / "evaluation/metrics.json"
    assert "top-5" in scores.format_scores(tmp_path)
    write_json(file, read_json(file) | {"species": 5})
    lines = scores.format_scores(tmp_path).splitlines()
    assert not [line for line in lines if line.startswith("    top-5")]


def test_the_command_for_the_report_names_the_configuration(tmp_path: Path) -> None:
    line = next(x for x in scores.format_scores(run(tmp_path)).splitlines() if x.startswith("report:"))
    assert line == (
        f"report:   to write it: snakemake --report {tmp_path / 'report.html'}, with the --configfile and --config of the run"
    )


def test_the_summary_of_the_drift_test_is_printed(tmp_path: Path) -> None:
    run(tmp_path)
    write_json(tmp_path / "drift/drift.json", {"summary": "No drift detected: 9 current recordings"})
    assert "drift:    No drift detected: 9 current recordings\n" in scores.format_scores(tmp_path)
    write_json(tmp_path / "drift/drift.json", {"verdict": "No drift"})
    with pytest.raises(
        AutobirdError, match=r"drift\.json was made by an older version of Autobird; run snakemake again"
    ):
        scores.format_scores(tmp_path)


def test_scores_of_a_run_of_an_older_version_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    write_json(tmp_path / "evaluation/metrics.json", {"test": {"recordings": 3}})
    with pytest.raises(AutobirdError, match="older version of Autobird; run snakemake again"):
        scores.format_scores(tmp_path)
