"""`snakemake crossval`: the jobs that it needs, what runs again after a change, and its outputs."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from autobird.core.files import read_json
from autobird.evaluation.compare_runs import compare_folders
from autobird.evaluation.settings import IntervalSettings
from tests.workflow.conftest import FOLDER, Result, snakemake
from tests.workflow.outputs import promised

TRAINED = {"train", "export", "score", "compare", "evaluate"}
DETAILS = {"pooled_ranking_curves", "pooled_confusions", "pooled_weaknesses"}
"""Stages of the pooled test recordings with the first seed."""
"""Rules that run for each fold and seed."""


def run(project: Path, seeds: list[int], *config: str, train: str = "") -> Result:
    result = snakemake(
        project,
        "crossval",
        "--config",
        "dataset={folds: 3, min_windows: 2}",
        f"train={{seeds: {seeds}{train}}}",
        *config,
    )
    assert result.code == 0, result.text
    return result


def members(result: Result, rule: str) -> set[str]:
    """The members for which a rule ran."""
    return {name.strip(",/").removeprefix("members/") for name in result.batches(rule)}


def ids(seeds: list[int]) -> set[str]:
    return {f"fold{fold}.seed{seed}" for fold in range(3) for seed in seeds}


def test_a_cross_validation_trains_each_fold_with_each_seed_and_shares_datasets_and_features(demo: Path) -> None:
    planned = snakemake(
        demo, "crossval", "-n", "--config", "dataset={folds: 3, min_windows: 2}", "train={seeds: [4, 9]}"
    )
    assert planned.code == 0, planned.text
    assert planned.rules - {"crossval"} == {"dataset", *TRAINED, "pool", *DETAILS}
    assert members(planned, "dataset") == {"fold0", "fold1", "fold2"}
    for rule in TRAINED:
        assert members(planned, rule) == ids([4, 9]), rule


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            "dataset={folds: 100}",
            "dataset.folds 100 and 4 train.seeds are 400 trainings, and at most 300 are supported",
        ),
        ("dataset={folds: 2}", "error: dataset.folds: '2' is not valid: input should be greater than or equal to 3"),
    ],
)
def test_an_impossible_cross_validation_is_refused_before_any_job(demo: Path, config: str, message: str) -> None:
    result = snakemake(demo, "crossval", "--config", config, "train={seeds: [1, 2, 3, 4]}")
    assert result.code != 0
    assert message in result.text
    assert result.jobs == set()


@pytest.mark.long
def test_given_splits_are_refused_because_they_would_be_the_same_in_all_folds(folder: Path) -> None:
    table = folder / "my birds" / "SOURCES.csv"
    sources = pd.read_csv(table, dtype=str, keep_default_na=False)
    sources.assign(split=["test", *[""] * (len(sources) - 1)]).to_csv(table, index=False)
    result = snakemake(folder, "crossval", "--config", FOLDER)
    assert result.code != 0
    assert (
        "error: the metadata, or the settings of a source, give the split of 1 recordings, which would be the same in all folds"
        in result.text
    )
    # The remedy of the message.
    sources.to_csv(table, index=False)
    assert snakemake(folder, "crossval", "-n", "--config", FOLDER).code == 0


@pytest.mark.long
def test_a_cross_validation_runs_only_what_a_change_needs_and_leaves_the_main_run_alone(demo: Path) -> None:
    before = promised(demo)
    first = run(demo, [4])
    assert members(first, "train") == ids([4])
    main_run = {
        path: digest
        for path, digest in promised(demo).items()
        if not path.startswith(("test/members", "test/crossval"))
    }
    assert main_run == before
    assert run(demo, [4]).jobs == set()
    # The model card of the main run gets the pooled scores; the drift result belongs to the bundle with this card.
    card = demo / "results/test/release/bundle/MODEL_CARD.md"
    assert "cross-validation" not in card.read_text(encoding="utf-8")
    assert snakemake(demo).rules - {"all"} == {"bundle", "drift_current", "drift"}
    assert "cross-validation" in card.read_text(encoding="utf-8")
    assert snakemake(demo).jobs == set()

    # A new seed: its trainings, and the pooled scores.
    second = run(demo, [4, 5])
    assert second.rules - {"crossval"} == {*TRAINED, "pool"}
    for rule in TRAINED:
        assert members(second, rule) == ids([5]), rule
    results = demo / "results" / "test"
    result = read_json(results / "crossval/crossval.json")
    assert (result["folds"], result["seeds"], result["recordings"]) == (3, [4, 5], 37)
    assert result["recordings"] + result["recordings_not_tested"] == 37
    # Every recording of the corpus is tested once per seed.
    pooled = pd.read_parquet(results / "crossval/predictions.parquet")
    corpus = pd.read_parquet(results.parent / "features/test/corpus/catalogue.parquet")
    for _, rows in pooled.groupby("seed"):
        assert sorted(rows["recording"]) == sorted(corpus["recording"])
    for member in ids([4, 5]):
        own = read_json(results / "members" / member / "evaluation/metrics.json")["test"]["by_recording"]
        for name, interval in own.items():
            assert result["by_recording"][name]["members"][member] == interval["value"], (member, name)

    # Fewer seeds: nothing but the pooled scores, and the details of the seed that is now the first one.
    assert run(demo, [5]).rules - {"crossval"} == {"pool", *DETAILS}

    # Another setting of the training: all trainings, and no dataset. Seed 4 is not asked for.
    shutil.copytree(results, results.with_name("before"))
    third = run(demo, [5], train=", learning_rate: 0.002")
    assert third.rules - {"crossval"} == {*TRAINED, "pool", *DETAILS}
    assert members(third, "train") == ids([5])
    comparison = compare_folders(results.with_name("before"), results, IntervalSettings(resamples=100))
    assert (comparison["recordings"], comparison["matched_by"]) == (37, "sha256")

    # An evaluation setting: no training.
    fourth = snakemake(
        demo, "crossval", "--config", "dataset={folds: 3, min_windows: 2}",
        "train={seeds: [5], learning_rate: 0.002}", "evaluation={confidence: 0.9}",
    )  # fmt: skip
    assert fourth.code == 0, fourth.text
    assert fourth.rules - {"crossval"} == {"compare", "evaluate", "pool", *DETAILS}


@pytest.mark.long
def test_the_report_of_a_cross_validation_has_its_scores_and_the_members_in_categories_of_their_own(demo: Path) -> None:
    run(demo, [4])
    done = snakemake(
        demo,
        "crossval",
        "--report",
        "report.html",
        "--config",
        "dataset={folds: 3, min_windows: 2}",
        "train={seeds: [4]}",
    )
    assert done.code == 0, done.text
    text = (demo / "report.html").read_text(encoding="utf-8")
    for expected in ("Cross-validation", "Members", "fold0.seed4", "scores of each fold and seed (table)"):
        assert expected in text
