"""The learning curve of heads: subsets of recordings, scores with intervals, and which species gain from more recordings."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from autobird.core.files import read_json, write_json
from autobird.core.tables import write_table
from autobird.dataset.schemas import INDEX
from autobird.evaluation import learning_curve as lc
from autobird.evaluation.bootstrap import resample_groups
from autobird.evaluation.predictions import Items, SplitPredictions
from autobird.evaluation.settings import IntervalSettings
from autobird.model.settings import HeadSettings
from autobird.release import learning_curve as stage
from tests.predictions import label_sets


def test_the_points_have_twice_as_many_recordings_each_up_to_all() -> None:
    assert lc.curve_sizes([3, 20, 1]) == [2, 4, 8, 16, 20]
    assert lc.curve_sizes([8, 8]) == [2, 4, 8]
    assert lc.curve_sizes([2]) == [2]
    assert lc.curve_sizes([1, 1]) == lc.curve_sizes([]) == []


def recordings() -> pd.DataFrame:
    """40 recordings in 20 groups of two; every fifth has both species, and one has none."""
    rows = [
        {"recording": f"r{i}", "group": f"g{i // 2}", "recording_species": ["a", "b"] if i % 5 == 0 else ["ab"[i % 2]]}
        for i in range(40)
    ]
    return pd.DataFrame([*rows, {"recording": "silent", "group": "s", "recording_species": []}])


def test_subsets_are_nested_have_the_recordings_of_each_species_and_differ_between_draws() -> None:
    table = recordings()
    smaller: set[str] = set()
    for size in (2, 4, 8, 16):
        subset = lc.nested_subset(table, size, draw=0)
        assert smaller < subset
        assert "silent" in subset
        taken = table[table["recording"].isin(subset)]["recording_species"].explode().value_counts()
        # A recording of both species may be taken for the other one.
        assert all(size <= taken[s] for s in "ab")
        smaller = subset
    assert lc.nested_subset(table, 100, draw=0) == set(table["recording"])
    assert lc.nested_subset(table, 4, draw=0) != lc.nested_subset(table, 4, draw=1)
    shuffled = table.sample(frac=1, random_state=1)
    assert lc.nested_subset(shuffled, 4, draw=0) == lc.nested_subset(table, 4, draw=0)


def test_recordings_of_a_group_are_taken_together() -> None:
    single = recordings()[lambda t: t["recording_species"].map(len) == 1]
    single = single.assign(recording_species=[["a"]] * len(single))
    subset = lc.nested_subset(single, 6, draw=3)
    groups = single[single["recording"].isin(subset)]["group"].value_counts()
    complete = single["group"].value_counts()
    assert (groups < complete[groups.index]).sum() <= 1


SPECIES, GROUPS = 4, 25


def split_of(groups: int = GROUPS) -> SplitPredictions:
    """One test recording per group, with `groups` groups of each species."""
    truth = np.repeat(np.arange(SPECIES), groups)
    present = np.eye(SPECIES, dtype=bool)[truth]
    n = len(truth)
    items = Items(
        np.eye(SPECIES)[truth], present, present, np.ones(present.shape, bool), np.zeros(n, bool), np.arange(n)
    )
    return SplitPredictions(items, items, [f"t{i}" for i in range(n)], np.arange(n))


def simulated(
    accuracies: np.ndarray, draws: int = 3, groups: int = GROUPS, counts: np.ndarray | None = None
) -> dict[str, object]:
    """The curve of heads that recognise each species with these probabilities, or take it for its neighbour.

    Args:
        accuracies: shape (points, species).
        draws: draws of each point.
        groups: test recordings of each species.
        counts: training recordings, shape (points, species); None: 2, 4, 8, ... of each species.
    """
    rng = np.random.default_rng(0)
    split = split_of(groups)
    resamples = split.resamples(300, 0)
    truth = split.recordings.single_species
    luck = rng.random(len(truth))
    points = []
    for n, accuracy in enumerate(accuracies):
        f1 = []
        for _ in range(draws):
            named = np.where(luck < accuracy[truth], truth, truth ^ 1)
            items = replace(split.recordings, probabilities=np.eye(SPECIES)[named])
            f1.append(lc.f1_of(replace(split, windows=items, recordings=items), resamples))
        recordings_of = np.full(SPECIES, 2.0 ** (n + 1)) if counts is None else counts[n]
        points.append(lc.Point(int(recordings_of.max()), np.stack(f1), recordings_of))
    labels = [f"species {i}" for i in range(SPECIES)]
    return lc.learning_curve(points, split, resamples, labels, IntervalSettings(resamples=300))


def test_species_whose_f1_still_rises_are_listed_by_their_gain_and_saturated_ones_are_not() -> None:
    rising = np.array([[0.1, 0.2, 1.0, 1.0], [0.4, 0.5, 1.0, 1.0], [0.95, 0.8, 1.0, 1.0]])
    found = simulated(rising)
    assert sorted(found["would_gain_most"]) == ["species 0", "species 1"]
    gains = [found["species"][name]["gain_of_doubling"]["value"] for name in found["would_gain_most"]]
    assert gains == sorted(gains, reverse=True)
    assert found["species"]["species 0"]["gain_of_doubling"]["value"] > 0.2
    assert "now 8 recordings)" in found["summary"]
    assert found["conclusion"] == lc.GAINS
    assert [p["recordings"] for p in found["curve"]] == [2, 4, 8]
    assert found["curve"][0]["macro_f1"]["value"] < found["curve"][2]["macro_f1"]["value"]
    table = lc.curve_table(found)
    assert len(table) == 3 * (1 + SPECIES)
    assert table["conclusion"].notna().sum() == 1 + SPECIES


def test_one_common_species_does_not_hide_that_more_recordings_help() -> None:
    """Rare species end with 8 recordings, a common one with 64: at the last points, the F1 of the rare ones cannot change."""
    accuracies = np.array(
        [[0.3, 0.3, 0.3, 1.0], [0.5, 0.5, 0.5, 1.0], [0.7, 0.7, 0.7, 1.0], *[[0.7, 0.7, 0.7, 1.0]] * 3]
    )
    counts = np.array([[2, 2, 2, 2], [4, 4, 4, 4], [8, 8, 8, 8], [8, 8, 8, 16], [8, 8, 8, 32], [8, 8, 8, 64.0]])
    found = simulated(accuracies, counts=counts)
    assert found["conclusion"] == lc.GAINS
    assert found["gain_of_doubling"]["value"] > 0.08
    assert "more recordings help" in found["summary"]


def test_the_curve_of_a_species_ends_where_it_has_all_recordings_whatever_the_last_bit_of_their_number() -> None:
    thirds = sum([9 / 5 / 3] * 15)  # as the stage adds the shares of five folds and three draws
    assert thirds < 9
    counts = np.array([[2.0] * 4, [thirds] * 4, [9.0, 9.0, 9.0, 20.0]])
    found = simulated(np.full((3, 4), 0.7), counts=counts)
    assert [len(entry["curve"]) for entry in found["species"].values()] == [2, 2, 2, 3]


def test_with_few_test_groups_there_is_not_enough_to_tell() -> None:
    found = simulated(np.array([[0.4] * 4, [0.5] * 4, [0.6] * 4]), groups=4)
    assert {entry["conclusion"] for entry in found["species"].values()} == {lc.UNCLEAR}
    assert found["would_gain_most"] == []
    assert "not enough to tell for any species; the largest estimate is that of" in found["summary"]
    fewer = simulated(np.array([[0.4] * 4, [0.5] * 4]), groups=2)
    assert all(entry["gain_of_doubling"] is None for entry in fewer["species"].values())


def test_the_chance_of_the_subsets_widens_the_interval() -> None:
    split = split_of()
    resamples = split.resamples(400, 0)
    rows = len(resamples.weights)
    values = np.stack([np.full((rows, 1), v) for v in (0.2, 0.5, 0.8)])
    mean = lc.mean_of_draws(values, resamples, seed=0)
    assert mean[0, 0] == pytest.approx(0.5)
    # The standard error of a mean of three: the standard deviation, with n - 1 in the denominator, by the root of 3.
    assert mean[1:401].std() == pytest.approx(np.std([0.2, 0.5, 0.8], ddof=1) / np.sqrt(3), rel=0.1)
    assert np.ptp(mean[401:]) < 1e-12


@pytest.mark.parametrize("groups", [5, 12])
def test_intervals_of_a_gain_contain_the_true_value_as_often_as_they_say(groups: int) -> None:
    rng = np.random.default_rng(groups)
    inside = 0
    trials = 300
    for _ in range(trials):
        # Recall of one species before and after: each recording is right with 0.5, and 0.7 of them.
        luck = rng.random(groups)
        before, after = luck < 0.5, luck < 0.7
        resamples = resample_groups(np.arange(groups), np.ones((groups, 1), bool), 200, 0)
        change = resamples.weights @ (after.astype(float) - before) / resamples.weights.sum(axis=1)
        interval = lc.slope_interval(change, resamples, 0.95, groups)
        assert interval is not None
        inside += interval[1] <= 0.2 <= interval[2]
    assert inside / trials >= 0.93


def write_dataset(
    folder: Path,
    recordings_of_species: int,
    seed: int,
    first_test: int = 0,
    prior: bool = False,
    validation: int = 6,
    test: int = 10,
) -> list[str]:
    """Two species whose embeddings differ a little: 16 values of noise, and one that tells the species."""
    rng = np.random.default_rng(seed)
    rows, embeddings = [], []
    for split, count in (("train", recordings_of_species), ("validation", validation), ("test", test)):
        for species in range(2):
            for k in range(count):
                name = f"{split}{species}-{k + first_test * (split == 'test')}"
                label = f"species {species}"
                for window in range(2):
                    rows.append(
                        {
                            "recording": name, "start": window, "species": label, "split": split, "group": name, "shard": 0,
                            "row": len(rows), "first_frame": 0, "rms": 0.1, "mel_std": 1.0, "dropped": "", "quiet": False,
                            "recording_split": split, "earliest": window, "latest": window, **label_sets([label]),
                        }
                    )  # fmt: skip
                    embeddings.append(np.append(rng.normal(size=16), 1.5 * species))
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "index.parquet", pd.DataFrame(rows), INDEX)
    np.save(folder / "0.npy", np.array(embeddings, np.float16))
    settings = HeadSettings().model_dump(mode="json")
    weights = {"layers.0.weight": np.zeros((2, 17), np.float32)}
    if prior:  # the backbone tells the species almost without fail
        weights |= {
            "prior.weight": np.outer([0, 9], np.arange(17) == 16).astype(np.float32),
            "prior.bias": np.float32([0, -7]),
        }
    safetensors.numpy.save_file(weights, folder / "weights.safetensors")
    write_json(folder / "model.json", {"labels": ["species 0", "species 1"], "weight_decay": 1.0, "train": settings})
    return [str(folder / name) for name in ("index.parquet", "model.json", "0.npy")]


def run(folder: Path, index: list[str], model: list[str], embeddings: str) -> dict[str, object]:
    outputs = [x for name, end in (("result", "json"), ("table", "csv"), ("figure", "png")) for x in (f"--{name}", str(folder / f"lc.{end}"))]  # fmt: skip
    settings = json.dumps({"resamples": 100})
    weights = [str(Path(path).with_name("weights.safetensors")) for path in model]
    stage.main(
        ["--settings", settings, "--index", *index, "--model", *model, "--weights", *weights, "--embeddings", embeddings, *outputs]
    )  # fmt: skip
    assert (folder / "lc.png").stat().st_size > 10_000
    return read_json(folder / "lc.json")


def test_heads_are_fitted_to_subsets_and_tested_on_the_same_recordings(tmp_path: Path) -> None:
    index, model, embeddings = write_dataset(tmp_path, 32, seed=1)
    found = run(tmp_path, [index], [model], embeddings)
    assert [(p["size"], p["draws"]) for p in found["curve"]] == [(2, 5), (4, 5), (8, 5), (16, 5), (32, 1)]
    values = [p["macro_f1"]["value"] for p in found["curve"]]
    assert values[0] < 0.8 < values[-1]
    assert (found["test_recordings"], found["test_groups"]) == (20, 20)
    assert found["curve"][0]["spread_of_draws"] > 0
    assert found["curve"][-1]["spread_of_draws"] is None  # there is one subset of all recordings
    first = (tmp_path / "lc.json").read_bytes()
    run(tmp_path, [index], [model], embeddings)
    assert (tmp_path / "lc.json").read_bytes() == first


def test_the_training_windows_of_a_large_corpus_are_thinned_for_all_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MAX_WINDOWS", 40)
    index, model, embeddings = write_dataset(tmp_path, 16, seed=1)
    labels = ["species 0", "species 1"]
    fold = stage.Fold.read(Path(index), Path(model), tmp_path / "weights.safetensors", [Path(embeddings)], labels)
    # Of 32 recordings with two windows each, one window is kept: two of each would be 64.
    assert len(fold.train) == len(set(fold.names)) == len(fold.recordings) == 32
    table = pd.DataFrame({"recording": ["a"] * 90 + ["b"] * 3, "present": [("x",)] * 89 + [("y",)] + [("x",)] * 3})
    kept = stage.thinned(table)
    assert len(kept) <= 40
    assert kept.value_counts().loc[[("a", ("y",)), ("b", ("x",))]].tolist() == [1, 3]
    assert stage.thinned(table[:30]).equals(table[:30])


def test_the_test_recordings_of_several_folds_are_pooled(tmp_path: Path) -> None:
    index, model, embeddings = write_dataset(tmp_path / "0", 6, seed=1)
    other, other_model, _ = write_dataset(tmp_path / "1", 6, seed=1, first_test=10)
    found = run(tmp_path, [index, other], [model, other_model], embeddings)
    assert (found["folds"], found["test_recordings"]) == (2, 40)
    assert str(found["summary"]).endswith(
        "the 2 folds of the cross-validation, each with the network of the first seed of `train.seeds`."
    )
    assert [p["draws"] for p in found["curve"]] == [3, 3, 1]


def test_heads_start_from_what_the_backbone_knows_as_the_released_head_does(tmp_path: Path) -> None:
    plain = run(tmp_path, *([x] for x in write_dataset(tmp_path, 4, seed=1)[:2]), str(tmp_path / "0.npy"))
    found = run(tmp_path, *([x] for x in write_dataset(tmp_path, 4, seed=1, prior=True)[:2]), str(tmp_path / "0.npy"))
    assert found["curve"][0]["macro_f1"]["value"] > plain["curve"][0]["macro_f1"]["value"] + 0.1


@pytest.mark.parametrize(("validation", "test"), [(0, 10), (6, 0), (6, 1)])
def test_few_or_no_validation_or_test_recordings_give_a_curve_that_says_little(
    tmp_path: Path, validation: int, test: int
) -> None:
    index, model, embeddings = write_dataset(tmp_path, 6, seed=1, validation=validation, test=test)
    found = run(tmp_path, [index], [model], embeddings)
    assert [p["size"] for p in found["curve"]] == [2, 4, 6]
    assert found["test_recordings"] == 2 * test
    if not test:
        assert found["curve"][0]["macro_f1"] is None
        assert "not defined" in found["summary"]


def test_without_two_recordings_of_a_species_there_is_no_curve(tmp_path: Path) -> None:
    index, model, embeddings = write_dataset(tmp_path, 1, seed=1)
    found = run(tmp_path, [index], [model], embeddings)
    assert found["curve"] == []
    assert "There is no learning curve" in found["summary"]


def test_a_detector_of_one_species_has_no_curve_and_the_summary_says_why() -> None:
    assert "a single species is always the most probable one" in lc.no_curve(IntervalSettings(), 1)["summary"]
    assert "no species has 2 training recordings" in lc.no_curve(IntervalSettings(), 2)["summary"]
