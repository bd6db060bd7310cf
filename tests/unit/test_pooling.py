"""Cross-validation: every recording is pooled once per seed, and the scores are means over the seeds with known values."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_json
from autobird.core.tables import write_table
from autobird.dataset.index import UNTRAINED
from autobird.evaluation import crossval
from autobird.evaluation.crossval_scores import standard_deviation
from autobird.evaluation.evaluate import main as evaluate
from autobird.evaluation.metrics import Metric
from autobird.evaluation.pooling import FoldPredictions, check_same_recordings, mean_over_seeds, pool
from autobird.evaluation.predictions import PREDICTIONS, UNTRAINED_SPLIT, untrained_windows, windows_to_predict
from autobird.predict.classification import Calibration
from tests.predictions import predictions

LABELS = ["a", "b", "c"]


def calibration(labels: list[str], threshold: float = 0.5, temperature: float = 1.0) -> Calibration:
    return Calibration.softmax(temperature, np.full(len(labels), threshold), "mean")


def fold(
    number: int, table: pd.DataFrame, labels: list[str] = LABELS, seed: int = 4, **options: float
) -> FoldPredictions:
    return FoldPredictions(number, seed, labels, calibration(labels, **options), table)


FIRST = predictions([("r3", "g3", "a", [0.7, 0.2, 0.1]), ("r1", "g1", "b", [0.6, 0.3, 0.1])], windows=2)
SECOND = predictions([("r2", "g2", "c", [0.1, 0.1, 0.8])])


def test_the_recordings_of_all_folds_are_sorted_with_their_own_predictions() -> None:
    pooled = pool([fold(0, FIRST), fold(1, SECOND)], LABELS)
    assert pooled.split.names == ["r1", "r2", "r3"]
    assert pooled.table["fold"].tolist() == [0, 1, 0]
    assert pooled.table["present"].tolist() == [("b",), ("c",), ("a",)]
    recordings = pooled.split.recordings
    assert np.allclose(recordings.probabilities, [[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.7, 0.2, 0.1]])
    assert recordings.single_species.tolist() == [1, 2, 0]
    assert recordings.recording.tolist() == [0, 1, 2]
    # Windows keep the order of the folds; their recording is that of the sorted table.
    windows = pooled.split.windows
    assert [pooled.split.names[i] for i in windows.recording] == ["r3", "r3", "r1", "r1", "r2"]
    assert windows.single_species.tolist() == [0, 0, 1, 1, 2]


def test_each_fold_is_classified_with_the_temperature_and_the_thresholds_of_its_own_network() -> None:
    pooled = pool([fold(0, FIRST, threshold=0.25), fold(1, SECOND, temperature=3.0, threshold=0.9)], LABELS)
    assert pooled.split.recordings.detected.tolist() == [[True, True, False], [False] * 3, [True, False, False]]
    powers = np.array([0.1, 0.1, 0.8]) ** (1 / 3)
    assert np.allclose(pooled.split.recordings.probabilities[1], powers / powers.sum())


def test_a_species_that_a_fold_does_not_know_has_probability_0_and_its_recordings_count_as_wrong() -> None:
    # The network of the first fold knows a and b. Its fold tests a recording of c alone, and one of b and c.
    unknown = predictions([("r4", "g4", "c", [0.2, 0.8])], split=UNTRAINED_SPLIT)
    known = predictions([("r3", "g3", "a", [0.7, 0.3]), ("r5", "g5", "b+c", [0.4, 0.6])])
    pooled = pool([fold(0, pd.concat([known, unknown]), ["a", "b"], threshold=0.0), fold(1, SECOND)], LABELS)
    assert pooled.split.names == ["r2", "r3", "r4", "r5"]
    items = pooled.split.recordings
    assert items.probabilities[1:, 2].tolist() == [0, 0, 0]
    assert items.detected[1:].tolist() == [[True, True, False]] * 3  # not even with thresholds of 0
    assert items.single_species.tolist() == [2, 0, 2, -1]
    assert items.present.tolist() == [
        [False, False, True],
        [True, False, False],
        [False, False, True],
        [False, True, True],
    ]


def test_a_recording_that_is_tested_in_two_folds_is_an_error() -> None:
    with pytest.raises(AutobirdError, match=r"the recording r2 would be tested in folds 0 and 1 with seed 4.*column"):
        pool([fold(0, pd.concat([FIRST, SECOND])), fold(1, SECOND)], LABELS)


def test_a_group_that_is_tested_in_two_folds_is_an_error() -> None:
    with pytest.raises(AutobirdError, match=r"recordings of the group g1 would be tested in folds 0 and 1"):
        pool([fold(0, FIRST), fold(1, SECOND.assign(group="g1"))], LABELS)


@pytest.mark.parametrize("change", [{"group": "g9"}, {"recording": "r9"}])
def test_seeds_that_do_not_test_the_same_recordings_and_groups_are_an_error(change: dict[str, str]) -> None:
    first, second = (pool([fold(0, FIRST), fold(1, table)], LABELS) for table in (SECOND, SECOND.assign(**change)))
    check_same_recordings((4, first.table), first)
    with pytest.raises(AutobirdError, match="seeds 4 and 4 do not test the same recordings"):
        check_same_recordings((4, first.table), second)


def test_validation_rows_are_not_pooled() -> None:
    validation = predictions([("v", "gv", "a", [0.9, 0.05, 0.05])], split="validation")
    assert pool([fold(0, pd.concat([validation, FIRST]))], LABELS).split.names == ["r1", "r3"]


def test_the_mean_over_seeds_leaves_out_seeds_for_which_a_metric_is_not_defined() -> None:
    mean = mean_over_seeds([Metric(np.array([0.2, np.nan, np.nan]), 5), Metric(np.array([0.6, 0.5, np.nan]), 3)])
    assert np.array_equal(mean.values, [0.4, 0.5, np.nan], equal_nan=True)
    assert mean.groups == 3


def test_the_standard_deviation_of_fewer_than_two_values_is_not_defined() -> None:
    assert standard_deviation([1.0, 3.0, np.nan]) == pytest.approx(np.sqrt(2))
    assert np.isnan(standard_deviation([1.0, np.nan]))


def test_untrained_windows_are_those_of_test_recordings_that_the_model_cannot_know_but_other_folds_can() -> None:
    def rows(recording: str, species: str, dropped: str, split: str = "test") -> dict[str, object]:
        return {
            "recording": recording, "species": species, "dropped": dropped, "quiet": dropped == "quiet", "split": "test",
            "recording_split": split, "recording_present": species.split("+"), "present": species.split("+"),
        }  # fmt: skip

    index = pd.DataFrame(
        [
            rows("known", "a", ""), rows("untrained", "c", UNTRAINED), rows("untrained", "c", "quiet"),
            rows("validation", "c", UNTRAINED, "validation"), rows("rare", "d", "species with fewer than 9 recordings"),
        ]
    )  # fmt: skip
    found = untrained_windows(index, ["a"])
    assert list(zip(found["recording"], found["split"], strict=True)) == [("untrained", UNTRAINED_SPLIT)]
    # The evaluation of the model itself is not changed.
    assert windows_to_predict(index, ["a"])["recording"].tolist() == ["known"]


# The stage


def write_run(folder: Path, tables: Mapping[tuple[int, int], pd.DataFrame], labels: list[list[str]]) -> list[str]:
    """Write the files of the members of a cross-validation; return the arguments of the stage."""
    for number, names in enumerate(labels):
        write_json(folder / f"{number}/labels.json", names)
    write_json(folder / "counts.json", {"recordings": 12, "recordings_quarantined": 1})
    recordings = pd.concat(tables.values())["recording"].unique()
    pd.DataFrame({"recording": recordings, "sound_sha256": [f"sha of {r}" for r in recordings]}).to_parquet(
        folder / "recordings.parquet"
    )
    for (number, seed), table in tables.items():
        write_table(folder / f"{number}.{seed}/predictions.parquet", table, PREDICTIONS)
        own = {
            "threshold": 0.5,
            "low": None,
            "high": None,
            "chosen": True,
            "reached": True,
            "scale": 1.0,
            "offset": 0.0,
        }
        thresholds = dict.fromkeys(labels[number], own)
        content = {"variant": "float", "outputs": "softmax", "aggregation": "mean", "thresholds": thresholds}
        write_json(folder / f"{number}.{seed}/calibration.json", content)
    arguments = ["--settings", '{"resamples": 200}', "--members", json.dumps(list(tables))]
    for option, name in (("predictions", "predictions.parquet"), ("calibrations", "calibration.json")):
        arguments += [f"--{option}", *(str(folder / f"{number}.{seed}/{name}") for number, seed in tables)]
    arguments += ["--labels", *(str(folder / f"{number}/labels.json") for number in range(len(labels)))]
    arguments += ["--counts", str(folder / "counts.json"), "--recordings", str(folder / "recordings.parquet")]
    for option, name in (
        ("result", "crossval.json"), ("table", "members.csv"), ("species", "species.csv"), ("figure", "crossval.png"),
        ("pooled", "predictions.parquet"),
    ):  # fmt: skip
        arguments += [f"--{option}", str(folder / f"crossval/{name}")]
    return arguments


def random_tables(seeds: tuple[int, ...]) -> dict[tuple[int, int], pd.DataFrame]:
    """Return random predictions for three folds of three recordings; each recording is a group."""
    rng = np.random.default_rng(1)
    truth = {f"r{i}": LABELS[i % 3] for i in range(9)}
    return {
        (number, seed): predictions(
            [(r, f"g {r}", truth[r], list(rng.dirichlet([1.0] * 3))) for r in (f"r{i}" for i in range(number, 9, 3))]
        )
        for number in (2, 0, 1)
        for seed in seeds
    }


def test_the_scores_of_the_stage_agree_with_scikit_learn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tables = random_tables((4, 7))
    crossval.main(write_run(tmp_path, tables, [LABELS] * 3))
    printed = [line for line in capfd.readouterr().err.splitlines() if line.startswith("[pool]")]
    file = tmp_path / "crossval/crossval.json"
    assert printed[-2:-1] == [f"[pool] all scores: {file}; to print them: autobird scores {tmp_path}"]
    result = read_json(tmp_path / "crossval/crossval.json")
    macro_f1 = result["by_recording"]["macro_f1"]

    def score(chosen: list[pd.DataFrame]) -> float:
        table = pd.concat(chosen)
        truth = table["recording_present"].map(lambda names: names[0])
        predicted = table["logits"].map(lambda logits: LABELS[int(np.argmax(logits))])
        return float(f1_score(truth, predicted, labels=sorted(set(truth)), average="macro", zero_division=0.0))

    seeds = {s: score([t for (_, seed), t in tables.items() if seed == s]) for s in (4, 7)}
    assert macro_f1["seeds"] == pytest.approx({str(s): value for s, value in seeds.items()}, abs=1e-6)
    assert macro_f1["value"] == pytest.approx(np.mean(list(seeds.values())), abs=1e-6)
    assert macro_f1["sd_over_seeds"] == pytest.approx(np.std(list(seeds.values()), ddof=1), abs=1e-6)
    members = {f"fold{number}.seed{seed}": score([table]) for (number, seed), table in tables.items()}
    assert macro_f1["members"] == pytest.approx(members, abs=1e-6)
    folds = [np.mean([members[f"fold{number}.seed{seed}"] for seed in (4, 7)]) for number in range(3)]
    assert macro_f1["sd_over_folds"] == pytest.approx(np.std(folds, ddof=1), abs=1e-6)
    assert macro_f1["low"] < macro_f1["value"] < macro_f1["high"]
    assert (result["recordings"], result["groups"], result["recordings_not_tested"]) == (9, 9, 2)
    assert (result["folds"], result["seeds"], result["unknown_species"]) == (3, [4, 7], {})


def test_the_tables_of_the_stage_hold_every_fold_seed_species_and_prediction(tmp_path: Path) -> None:
    tables = random_tables((4, 7))
    crossval.main(write_run(tmp_path, tables, [LABELS] * 3))
    result = read_json(tmp_path / "crossval/crossval.json")
    members = pd.read_csv(tmp_path / "crossval/members.csv")
    assert members["member"].tolist() == [f"fold{number}.seed{seed}" for number, seed in tables]
    assert members["test_recordings"].tolist() == [3] * 6
    for row in members.itertuples():
        assert row.macro_f1 == pytest.approx(result["by_recording"]["macro_f1"]["members"][row.member], abs=1e-4)
    species = pd.read_csv(tmp_path / "crossval/species.csv")
    assert species["species"].tolist() == LABELS
    assert species["recordings"].tolist() == [3, 3, 3]
    # The macro-average is the mean over the species, as the mean over the seeds is linear.
    assert species["f1"].mean() == pytest.approx(result["by_recording"]["macro_f1"]["value"], abs=1e-4)
    assert species["average_precision"].mean() == pytest.approx(result["by_recording"]["cmap"]["value"], abs=1e-4)
    pooled = pq.read_table(tmp_path / "crossval/predictions.parquet").to_pandas()
    assert pooled["seed"].tolist() == [4] * 9 + [7] * 9
    row = pooled[(pooled["seed"] == 7) & (pooled["recording"] == "r5")].iloc[0]
    assert (row["fold"], row["sha256"], list(row["present"])) == (2, "sha of r5", ["c"])
    expected = np.exp(tables[2, 7].set_index("recording").loc["r5", "logits"])
    assert np.allclose(row["probabilities"], expected / expected.sum())
    assert (tmp_path / "crossval/crossval.png").stat().st_size > 1000


def test_more_seeds_do_not_change_the_resamples_of_the_groups(tmp_path: Path) -> None:
    """With the same predictions for every seed, the mean over seeds has the interval of a single seed."""
    one = random_tables((4,))
    two = one | {(number, 5): table for (number, _), table in one.items()}
    results = []
    for name, tables in (("one", one), ("two", two)):
        crossval.main(write_run(tmp_path / name, tables, [LABELS] * 3))
        results.append(read_json(tmp_path / name / "crossval/crossval.json")["by_recording"])
    for metric in results[0]:
        assert {k: results[0][metric][k] for k in ("value", "low", "high")} == {
            k: results[1][metric][k] for k in ("value", "low", "high")
        }, metric
        assert results[0][metric]["sd_over_seeds"] is None
        assert results[1][metric]["sd_over_seeds"] == 0


def test_false_alarms_are_pooled_over_the_folds_and_averaged_over_the_seeds(tmp_path: Path) -> None:
    """Three recordings without species of three windows each, one in a fold; only the networks of seed 7 detect something there."""
    tables = {}
    for (number, seed), table in random_tables((4, 7)).items():
        noise = predictions([(f"n{number}", f"n{number}", "", [0.9 if seed == 7 else 0.05, 0.05, 0.05])], windows=3)
        tables[number, seed] = pd.concat([table, noise], ignore_index=True)
    crossval.main(write_run(tmp_path, tables, [LABELS] * 3))
    found = read_json(tmp_path / "crossval/crossval.json")["negatives"]
    assert (found["recordings"], found["groups"], found["false_alarms"]) == (3, 3, 1.5)
    assert found["per_hour"]["value"] == pytest.approx(1.5 / (9 * 2.5 / 3600), rel=1e-4)


def test_the_scores_of_a_single_fold_are_those_of_its_own_evaluation(tmp_path: Path) -> None:
    """The networks of a cross-validation are evaluated in the same way as the network of a run."""
    tables = random_tables((4,))
    crossval.main(write_run(tmp_path, tables, [LABELS] * 3))
    pooled = read_json(tmp_path / "crossval/crossval.json")
    validation = predictions([(f"v{i}", f"g v{i}", LABELS[i % 3], [0.4, 0.3, 0.3]) for i in range(6)], "validation")
    write_table(tmp_path / "own.parquet", pd.concat([validation, tables[1, 4]]), PREDICTIONS)
    outputs = ("metrics", "table", "species", "confusion", "species-figure", "reliability")
    evaluate(
        [
            "--settings", '{"resamples": 100}', "--predictions", str(tmp_path / "own.parquet"),
            "--calibration", str(tmp_path / "1.4/calibration.json"), "--labels", str(tmp_path / "1/labels.json"),
            *(text for name in outputs for text in (f"--{name}", str(tmp_path / f"own/{name}"))),
        ]
    )  # fmt: skip
    own = read_json(tmp_path / "own/metrics")["test"]
    for level in ("by_recording", "by_window"):
        for name, interval in own[level].items():
            member = pooled[level][name]["members"]["fold1.seed4"]
            assert member == (interval and interval["value"]), name


def test_species_that_a_fold_is_not_trained_on_are_listed(tmp_path: Path) -> None:
    tables = random_tables((4,))
    # The network of fold 2, which tests all recordings of c, does not know c.
    tables[2, 4] = tables[2, 4].assign(logits=[logits[:2] for logits in tables[2, 4]["logits"]], split=UNTRAINED_SPLIT)
    crossval.main(write_run(tmp_path, tables, [LABELS, LABELS, ["a", "b"]]))
    result = read_json(tmp_path / "crossval/crossval.json")
    assert result["unknown_species"] == {"fold2": ["c"]}
    assert result["recordings"] == 9
    species = pd.read_csv(tmp_path / "crossval/species.csv").set_index("species")
    assert species.loc["c", "not_trained_in"] == "fold2"
    assert species.loc["c", "f1"] == 0
    members = pd.read_csv(tmp_path / "crossval/members.csv").set_index("member")
    assert members.loc["fold2.seed4", "unknown_species"] == "c"
    assert members.loc["fold2.seed4", "top1"] == 0
