"""`autobird compare`: common recordings, joint groups, paired intervals with known values, and the output of the command."""

import builtins
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autobird import cli
from autobird.commands import compare as compare_command
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.tables import write_table
from autobird.evaluation.bootstrap import difference_interval, ratio_interval, resample_groups
from autobird.evaluation.compare_runs import compare_folders, format_comparison
from autobird.evaluation.crossval import POOLED
from autobird.evaluation.metrics import Weighting, f1_by_species, macro_average
from autobird.evaluation.paired import common_recordings, compare, joint_groups
from autobird.evaluation.predictions import PREDICTIONS
from autobird.evaluation.run_predictions import RunPredictions, other_settings, read_test_split
from autobird.evaluation.settings import IntervalSettings
from tests.predictions import label_set, predictions
from tests.unit.test_intervals import DEMO_GROUPS, draw

SETTINGS = IntervalSettings(resamples=200)


def table(*rows: tuple[str, str, str, tuple[str, ...]]) -> pd.DataFrame:
    """Return a table of recordings from recording, group, sha256 and species."""
    found = pd.DataFrame(rows, columns=["recording", "group", "sha256", "present"])
    return found.assign(absent=[()] * len(rows), unknown=[()] * len(rows), default="absent")


def classifier(
    name: str, recordings: pd.DataFrame, named: list[str], labels: str = "ab", seeds: int = 1
) -> RunPredictions:
    """Return a classifier that is almost sure of one species for each recording, and detects it."""
    chosen = np.array([[label == species for label in labels] for species in named])
    probabilities = np.where(chosen, 0.9, 0.1 / max(1, len(labels) - 1))
    return RunPredictions(name, "test", list(labels), recordings, [probabilities] * seeds, [chosen] * seeds)


def many(count: int, truth: str = "ab") -> pd.DataFrame:
    return table(*((f"r{i}", f"g{i}", "", (truth[i % len(truth)],)) for i in range(count)))


def test_scores_difference_and_ratio_of_errors_have_known_values() -> None:
    recordings = many(40)
    truth = ["a", "b"] * 20
    a = classifier("a", recordings, ["b" if i < 16 else t for i, t in enumerate(truth)])
    b = classifier("b", recordings, ["b" if i < 4 else t for i, t in enumerate(truth)], seeds=2)
    result = compare(a, b, SETTINGS)
    # a names 8 of the 20 recordings of species a `b`: F1 is 24 / 32 and 40 / 48. b names 2 of them `b`: 36 / 38 and 40 / 42.
    f1_a, f1_b = (24 / 32 + 40 / 48) / 2, (36 / 38 + 40 / 42) / 2
    macro_f1 = result["metrics"]["macro_f1"]
    assert macro_f1["a"]["value"] == pytest.approx(f1_a, abs=1e-6)
    assert macro_f1["b"]["value"] == pytest.approx(f1_b, abs=1e-6)
    assert macro_f1["difference"]["value"] == pytest.approx(f1_b - f1_a, abs=1e-6)
    assert result["error_ratio"]["value"] == pytest.approx((1 - f1_b) / (1 - f1_a), abs=1e-6)
    assert result["metrics"]["top1"]["difference"]["value"] == pytest.approx(6 / 40)
    assert result["metrics"]["detection_macro_f1"]["b"]["value"] == pytest.approx(f1_b, abs=1e-6)
    assert (result["recordings"], result["groups"]) == (40, 40)
    for interval in (macro_f1["difference"], result["error_ratio"]):
        assert interval["low"] < interval["value"] < interval["high"]
    assert macro_f1["difference"]["low"] > 0
    assert result["error_ratio"]["high"] < 1


def test_a_species_counts_in_a_recording_if_both_runs_know_whether_it_is_present() -> None:
    recordings = many(20)
    uncertain = recordings.assign(
        unknown=[("b",)] * 2 + [()] * 18
    )  # of r0, which contains a, and of r1, which contains b
    a, b = classifier("a", recordings, ["a", "b"] * 10), classifier("b", uncertain, ["a", "b"] * 10)
    assert [compare(*pair, SETTINGS)["recordings_of_one_species"] for pair in ((a, a), (a, b), (b, a))] == [20, 19, 19]


def test_swapping_the_runs_inverts_difference_and_ratio() -> None:
    recordings, truth = many(30), ["a", "b"] * 15
    a = classifier("a", recordings, ["b" if i < 9 else t for i, t in enumerate(truth)])
    b = classifier("b", recordings, ["b" if i % 7 == 0 else t for i, t in enumerate(truth)])
    one, two = compare(a, b, SETTINGS), compare(b, a, SETTINGS)
    difference, swapped = one["metrics"]["macro_f1"]["difference"], two["metrics"]["macro_f1"]["difference"]
    assert [difference[k] for k in ("value", "low", "high")] == [-swapped[k] for k in ("value", "high", "low")]
    ratio, inverse = one["error_ratio"], two["error_ratio"]
    assert [ratio[k] for k in ("value", "low", "high")] == pytest.approx(
        [1 / inverse[k] for k in ("value", "high", "low")], rel=1e-5
    )


def test_the_interval_is_paired() -> None:
    """Errors that both make cancel out: the paired interval is narrower than that of independent runs."""
    recordings, truth = many(60), ["a", "b"] * 30
    common = ["b" if i % 3 == 0 else t for i, t in enumerate(truth)]
    a = classifier("a", recordings, common)
    b = classifier("b", recordings, ["b" if i == 4 else name for i, name in enumerate(common)])
    result = compare(a, b, SETTINGS)["metrics"]["top1"]
    width = {key: result[key]["high"] - result[key]["low"] for key in ("a", "b", "difference")}
    assert width["difference"] < 0.6 * np.hypot(width["a"], width["b"])


def test_recordings_of_one_group_in_either_run_are_one_group() -> None:
    a, b = pd.Series(["x", "x", "y", "z", "w"]), pd.Series(["1", "2", "2", "3", "4"])
    assert joint_groups(a, b).tolist() == [0, 0, 0, 1, 2]
    recordings = many(12)
    grouped = recordings.assign(group=[f"h{i // 2}" for i in range(12)])
    result = compare(classifier("a", recordings, ["a"] * 12), classifier("b", grouped, ["b"] * 12), SETTINGS)
    assert result["groups"] == 6


def test_recordings_are_matched_by_the_checksum_of_their_sound_where_it_is_known() -> None:
    a = table(("old/1", "g", "s1", ("a",)), ("2", "g", "s2", ("a",)), ("3", "g", "s3", ("a",)))
    b = table(("2", "g", "s9", ("a",)), ("new/1", "g", "s1", ("a",)))
    rows_a, rows_b, matched_by, left_out = common_recordings(a, b)
    assert (rows_a.tolist(), rows_b.tolist(), matched_by) == ([0], [1], "sha256")
    assert left_out == {"only_in_a": 2, "only_in_b": 1, "other_sound": 0, "other_species": 0}
    # Not if a checksum is unknown.
    rows_a, rows_b, matched_by, _ = common_recordings(a, b.assign(sha256=["", "s1"]))
    assert (rows_a.tolist(), rows_b.tolist(), matched_by) == ([1], [0], "recording")


def test_recordings_of_one_name_whose_sounds_are_known_to_differ_are_left_out() -> None:
    """A file was replaced between the runs, and the checksum of another recording is not known in one of them."""
    a, b = (many(9).assign(sha256=[first, "", *(f"s{i}" for i in range(2, 9))]) for first in ("s0", "new"))
    result = compare(classifier("a", a, ["a"] * 9), classifier("b", b, ["a"] * 9), SETTINGS)
    assert (result["recordings"], result["matched_by"]) == (8, "recording")
    assert result["left_out"] == {"only_in_a": 0, "only_in_b": 0, "other_sound": 1, "other_species": 0}
    assert "left out: 1 recording of the same name with other sound in a than in b" in format_comparison(result)
    # A checksum that occurs twice does not identify a recording, but tells that it is another one.
    replaced = b.assign(sha256=["new"] * 9)
    with pytest.raises(
        AutobirdError, match="x and y have 8 test recordings of the same name, but with different sound"
    ):
        compare(classifier("x", a[a["sha256"] != ""], ["a"] * 8), classifier("y", replaced, ["a"] * 9), SETTINGS)


def test_recordings_whose_species_were_corrected_between_the_runs_are_left_out() -> None:
    b = many(9).assign(present=[("b",), *many(9)["present"][1:]])
    result = compare(classifier("a", many(9), ["a"] * 9), classifier("b", b, ["a"] * 9), SETTINGS)
    assert (result["recordings"], result["left_out"]["other_species"]) == (8, 1)


def test_a_species_that_one_run_does_not_know_has_probability_0_for_it() -> None:
    recordings = table(
        *((f"r{i}", f"g{i}", "", ("ab"[i % 2],)) for i in range(20)),
        *((f"s{i}", f"h{i}", "", ("a", "c")) for i in range(4)),
    )
    truth = [*("ab"[i % 2] for i in range(20)), *"aaaa"]
    a = classifier("a", recordings, truth, "ab")
    b = classifier("b", recordings, [*truth[:20], *"cccc"], "abc")
    result = compare(a, b, SETTINGS)
    assert (result["a"]["only_here"], result["b"]["only_here"]) == ([], ["c"])
    # Detections of a, b and c: 14 of 14, 10 of 10 and 0 of 4 for a run; 10 of 14, 10 of 10 and 4 of 4 for the other.
    detections = result["metrics"]["detection_macro_f1"]
    assert detections["a"]["value"] == pytest.approx((1 + 1 + 0) / 3, abs=1e-6)
    assert detections["b"]["value"] == pytest.approx((20 / 24 + 1 + 1) / 3, abs=1e-6)
    # Macro-F1 uses recordings of one species: c is in none of them.
    assert result["metrics"]["macro_f1"]["a"]["value"] == result["metrics"]["macro_f1"]["b"]["value"] == 1
    # There is no error, so there is no ratio of errors.
    assert result["error_ratio"] is None


def test_runs_without_common_recordings_are_an_error_with_a_remedy() -> None:
    a, b = many(4), many(4).assign(recording=list("wxyz"))
    with pytest.raises(AutobirdError, match=r"one and two have no common test recordings \(4 and 4 .*crossval"):
        compare(classifier("one", a, list("abab")), classifier("two", b, list("abab")), SETTINGS)


def test_runs_that_name_the_species_differently_are_an_error_that_says_so() -> None:
    renamed = many(4, truth="AB")
    with pytest.raises(AutobirdError, match="one and two name the species of all 4 common test recordings differently"):
        compare(classifier("one", many(4), list("abab")), classifier("two", renamed, list("ABAB"), "AB"), SETTINGS)


def test_the_ratio_of_errors_is_not_defined_without_an_error_of_the_reference() -> None:
    resamples = resample_groups(np.arange(6), np.eye(2, dtype=bool)[[0, 0, 0, 1, 1, 1]], 50, 0)
    rows = len(resamples.weights)
    assert ratio_interval(np.full(rows, 0.5), np.zeros(rows), resamples, 0.95) is None
    value, low, high = ratio_interval(np.zeros(rows), np.full(rows, 0.5), resamples, 0.95)
    assert (value, np.isnan(low), np.isnan(high)) == (0, True, True)
    value, low, high = ratio_interval(np.full(rows, 0.2), np.full(rows, 0.4), resamples, 0.95)
    assert value == pytest.approx(0.5)
    assert low * high == pytest.approx(0.25)
    # As if they differed in one more of the 6 groups, also if all resamples have the same ratio.
    assert low < 0.4


def test_paired_intervals_contain_the_true_difference_and_ratio() -> None:
    rng, species = np.random.default_rng(0), len(DEMO_GROUPS)
    flags = np.eye(species, dtype=bool)
    recalls = (np.full(species, 0.45), np.full(species, 0.75))

    def errors(groups: list[int], weights: Any) -> tuple[Any, Any, Any]:
        """Simulate two networks of which the second is right where the first is, and in half of the other recordings."""
        truth, first, group = draw(rng, groups, recalls[0], 0.5)
        second = np.where(rng.random(len(truth)) < 0.5, truth, first)
        draws = resample_groups(group, flags[truth], 200, 0) if weights is None else None
        weighting = (
            Weighting(np.ones((1, 1)), np.zeros(len(truth), np.int64))
            if draws is None
            else Weighting(draws.weights, draws.group_of_recording)
        )
        return *(1 - macro_average(f1_by_species(flags[p], flags[truth], weighting)) for p in (first, second)), draws

    true_first, true_second, _ = errors([2000 * n for n in DEMO_GROUPS], 1)
    covered = {"difference": 0, "ratio": 0}
    for _ in range(200):
        first, second, draws = errors(list(DEMO_GROUPS), None)
        _, low, high = difference_interval(first - second, draws, 0.95)
        covered["difference"] += low <= true_first[0] - true_second[0] <= high
        _, low, high = ratio_interval(second, first, draws, 0.95)
        covered["ratio"] += low <= true_second[0] / true_first[0] <= high
    assert min(covered.values()) >= 184, covered


# Folders of runs, and the command


def write_test_split(run: Path, named: list[str], sha: bool = False) -> Path:
    truth = [(f"r{i}", f"g{i}", "ab"[i % 2]) for i in range(len(named))]
    rows = [(r, g, s, [0.9, 0.1] if n == "a" else [0.1, 0.9]) for (r, g, s), n in zip(truth, named, strict=True)]
    write_table(run / "release/predictions.parquet", predictions(rows), PREDICTIONS)
    thresholds = {name: {"threshold": 0.5, "chosen": True} for name in "ab"}
    write_json(
        run / "release/calibration.json",
        {"variant": "int8", "temperature": 1.0, "aggregation": "mean", "thresholds": thresholds},
    )
    if sha:
        write_json(run / "release/bundle/provenance.json", {"config": {"features": {"name": "f"}}})
        catalogue = run.parent / "features/f/corpus/catalogue.parquet"
        catalogue.parent.mkdir(parents=True, exist_ok=True)
        recordings = [r for r, _, _ in truth]
        pd.DataFrame({"recording": recordings, "sound_sha256": [f"sha {r}" for r in recordings]}).to_parquet(catalogue)
    return run


def write_crossval(run: Path, count: int, folder: str = "crossval", **result: Any) -> Path:
    rows = [
        {
            "recording": f"r{i}", "group": f"g{i}", "sha256": f"sha r{i}", "fold": i % 3, "seed": seed, **label_set(["ab"[i % 2]]),
            "probabilities": [0.9, 0.1], "detected": [True, False],
        }
        for seed in (4, 5) for i in range(count)
    ]  # fmt: skip
    write_table(run / folder / "predictions.parquet", pd.DataFrame(rows), POOLED)
    write_json(run / folder / "crossval.json", {"folds": 3, "labels": ["a", "b"]} | result)
    return run


def test_cross_validations_are_compared_if_both_runs_have_one_and_otherwise_their_test_splits(tmp_path: Path) -> None:
    one = write_crossval(write_test_split(tmp_path / "one", ["a"] * 8), 30)
    two = write_test_split(tmp_path / "two", ["a", "b"] * 4)
    result = compare_folders(one, two, SETTINGS)
    assert (result["recordings"], result["a"]["evaluated"]) == (8, "test split, variant int8")
    assert result["metrics"]["top1"]["a"]["value"] == 0.5
    assert result["metrics"]["top1"]["b"]["value"] == 1
    result = compare_folders(one, write_crossval(two, 24), SETTINGS)
    assert (result["recordings"], result["matched_by"], result["a"]["seeds"]) == (24, "sha256", 2)
    assert result["a"]["evaluated"] == "cross-validation of 3 folds with 2 seeds"
    assert result["left_out"] == {"only_in_a": 6, "only_in_b": 0, "other_sound": 0, "other_species": 0}


ENSEMBLE = {"mode": "average", "seeds": [4, 5, 6]}


def write_train(run: Path, **train: Any) -> None:
    write_json(run / "release/bundle/provenance.json", {"config": {"features": {"name": "f"}, "train": train}})


def test_of_a_run_with_an_ensemble_the_ensembles_of_the_folds_are_compared(tmp_path: Path) -> None:
    """The networks of the folds can be those of the other run: the same settings and seeds."""
    one = write_crossval(tmp_path / "one", 30)
    two = write_crossval(write_crossval(tmp_path / "two", 30), 24, "crossval/ensemble", ensemble=ENSEMBLE)
    write_train(one, ensemble="none")
    write_train(two, ensemble="average", seeds=[6, 4, 5])
    result = compare_folders(one, two, SETTINGS)
    assert (result["recordings"], result["b"]["test_recordings"]) == (24, 24)
    assert result["b"]["evaluated"] == "cross-validation of 3 folds with ensembles of 3 networks"
    assert "warning" not in result["a"]
    assert "warning" not in result["b"]
    write_train(two, ensemble="average", seeds=[4, 5])
    text = format_comparison(compare_folders(one, two, SETTINGS))
    assert (
        "warning: the main run of two has another train.ensemble or other train.seeds than its cross-validation" in text
    )
    # Without a bundle it is not known what the run releases. After a return to a single network, the ensembles are those of before.
    (two / "release/bundle/provenance.json").unlink()
    assert compare_folders(one, two, SETTINGS)["b"]["test_recordings"] == 24
    write_train(two, ensemble="none")
    assert compare_folders(one, two, SETTINGS)["b"]["evaluated"] == "cross-validation of 3 folds with 2 seeds"
    # A cross-validation of before the ensemble.
    write_train(one, ensemble="distill", seeds=[4, 5])
    assert "train.ensemble" in compare_folders(one, two, SETTINGS)["a"]["warning"]


def test_a_cross_validation_without_a_test_split_is_compared_with_the_test_split_of_the_other_run(
    tmp_path: Path,
) -> None:
    result = compare_folders(
        write_crossval(tmp_path / "one", 30), write_test_split(tmp_path / "two", ["a", "b"] * 4), SETTINGS
    )
    assert (result["a"]["evaluated"], result["b"]["evaluated"]) == (
        "cross-validation of 3 folds with 2 seeds", "test split, variant int8",
    )  # fmt: skip
    assert (result["recordings"], result["left_out"]["only_in_a"], result["left_out"]["only_in_b"]) == (8, 22, 0)


def test_a_member_of_a_run_can_be_compared_by_its_folder(tmp_path: Path) -> None:
    run = write_test_split(tmp_path / "one", ["a", "b"] * 4, sha=True)
    member = write_test_split(run / "members/fold0.seed4", ["a"] * 8)
    assert read_test_split(member).recordings["sha256"].tolist() == [f"sha r{i}" for i in range(8)]
    result = compare_folders(member, run, SETTINGS)
    assert (result["recordings"], result["matched_by"]) == (8, "sha256")
    assert result["metrics"]["top1"]["difference"]["value"] == 0.5


def test_runs_without_common_test_recordings_are_refused_with_the_reason_and_the_remedy() -> None:
    one, two = many(4), many(4)
    two["recording"] = [f"other {name}" for name in two["recording"]]
    with pytest.raises(
        AutobirdError, match=r"x and y have no common test recordings \(4 and 4 recordings, compared by recording\)"
    ):
        compare(classifier("x", one, list("abab")), classifier("y", two, list("abab")), SETTINGS)


def test_the_conclusion_names_the_better_run_where_the_interval_of_the_difference_does_not_contain_0() -> None:
    recordings, truth = many(40), ["a", "b"] * 20
    worse = classifier("worse", recordings, ["b" if i < 16 else t for i, t in enumerate(truth)])
    best = classifier("best", recordings, truth)
    text = format_comparison(compare(worse, best, SETTINGS))
    assert "conclusion: b is better in macro-F1, " in text
    assert "conclusion: a is better in macro-F1, " in format_comparison(compare(best, worse, SETTINGS))
    same = format_comparison(compare(best, best, SETTINGS))
    assert same.endswith("conclusion: no certain difference in macro-F1, cmAP, top-1 and macro-F1 of the detections")


def write_model(folder: Path, **train: object) -> None:
    write_json(folder / "model/model.json", {"features": {"mels": 64}, "train": {"epochs": 2, "seed": 4} | train})


def test_the_comparison_tells_the_date_of_the_results_and_warns_of_a_cross_validation_with_other_settings(
    tmp_path: Path,
) -> None:
    one, two = (write_crossval(write_test_split(tmp_path / name, ["a"] * 8), 30) for name in ("one", "two"))
    for run in (one, two):
        os.utime(run / "crossval/predictions.parquet", (0, 0))
        write_model(run, epochs=2, threads=8, devices=1, nodes=1)
        write_model(run / "members/fold0.seed4", epochs=2 if run == one else 3, seed=5, threads=2, devices=4, nodes=2)
    result = compare_folders(one, two, SETTINGS)
    assert result["a"]["made"] == "1970-01-01 00:00 UTC"
    assert "warning" not in result["a"]
    text = format_comparison(result)
    assert "a: one (cross-validation of 3 folds with 2 seeds of 1970-01-01 00:00 UTC, 30 recordings" in text
    assert (
        "  warning: the cross-validation of two was made with other settings than its main run (epochs); run `snakemake crossval`"
        in text
    )


@pytest.mark.parametrize(("architecture", "different"), [("resnet", "centre_bands"), ("cnn_transformer", "")])
def test_settings_that_an_older_cross_validation_does_not_have_are_no_difference_but_for_centred_bands(
    architecture: str, different: str, tmp_path: Path
) -> None:
    write_model(tmp_path, architecture=architecture, crop_seconds=0.0, centre_bands=True)
    write_model(tmp_path / "members/fold0.seed4", architecture=architecture)
    warning = other_settings(tmp_path, 0, 4)
    assert (f"({different})" in warning) if different else warning == ""


def test_a_cross_validation_of_other_recordings_or_thresholds_is_no_longer_that_of_the_run(tmp_path: Path) -> None:
    """A run that was repeated with more recordings had the scores of the old ones in its card."""
    member, fold = tmp_path / "members/fold0.seed4", tmp_path / "members/fold0"
    counts = {"recordings": 150, "windows": 900, "splits": {"test": {"recordings": 30}}, "left_out": {}}
    calibration = {
        "precision": None,
        "aggregation": "mean",
        "smoothing": 0.0,
        "false_alarms": {"wanted_per_hour": None, "per_hour": 3.0},
    }
    write_json(tmp_path / "dataset/counts.json", counts)
    assert other_settings(tmp_path, 0, 4) == ""
    write_json(fold / "dataset/counts.json", counts | {"splits": {"test": {"recordings": 40}}})
    write_json(tmp_path / "release/calibration.json", calibration)
    write_json(
        member / "release/calibration.json", calibration | {"false_alarms": {"wanted_per_hour": None, "per_hour": 5.0}}
    )
    assert other_settings(tmp_path, 0, 4) == ""
    write_json(tmp_path / "dataset/counts.json", counts | {"recordings": 162, "windows": 990})
    assert "made of other recordings than its main run (counts.json: recordings, windows)" in other_settings(
        tmp_path, 0, 4
    )
    write_json(
        tmp_path / "release/calibration.json",
        calibration | {"precision": 0.9, "smoothing": 0.5, "false_alarms": {"wanted_per_hour": 2}},
    )
    assert "made with other settings than its main run (false_alarms_per_hour, precision, smoothing)" in other_settings(
        tmp_path, 0, 4
    )


def test_the_checksums_of_a_run_are_those_of_the_catalogue_of_its_corpus(tmp_path: Path) -> None:
    run = write_test_split(tmp_path / "one", ["a"] * 4, sha=True)
    assert read_test_split(run).recordings["sha256"].tolist() == [f"sha r{i}" for i in range(4)]
    assert read_test_split(write_test_split(tmp_path / "two", ["a"])).recordings["sha256"].tolist() == [""]


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(write_test_split(tmp_path / name, n)) for name, n in (("one", ["a"] * 8), ("two", list("abaababa")))]
    cli.main(["compare", *folders])
    text = capsys.readouterr().out
    assert "compared on 8 common test recordings in 8 independent groups" in text
    assert re.search(
        r"a: one \(test split, variant int8 of \d{4}-\d\d-\d\d \d\d:\d\d UTC, 8 recordings, 2 species\)", text
    )
    line = next(line for line in text.splitlines() if line.strip().startswith("top-1"))
    assert line.split()[1] == "0.500"
    assert "error of b divided by that of a" in text
    cli.main(["compare", *folders, "--json"])
    result = json.loads(capsys.readouterr().out)
    assert format_comparison(result) + "\n" == text
    assert set(result["metrics"]) == {"macro_f1", "cmap", "top1", "detection_macro_f1"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one", "missing"], r"missing does not exist; give the folders of two runs, for example results/demo"),
        (["one", "empty"], r"release.predictions\.parquet does not exist; finish the run with snakemake"),
    ],
)
def test_a_folder_that_is_no_finished_run_is_an_error(
    tmp_path: Path, names: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_test_split(tmp_path / "one", ["a"] * 4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        cli.main(["compare", *(str(tmp_path / name) for name in names)])
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(message, error)


def test_without_the_packages_for_training_the_command_says_how_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without_pandas(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("autobird.evaluation.compare_runs"):
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(AutobirdError, match=r"needs the package pandas; install .*train"):
        compare_command.compare_runs(tmp_path, tmp_path, None, False)
