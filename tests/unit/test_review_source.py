"""Reviews as a source: what a decision labels, which split it is in, and how much it counts."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text
from autobird.corpus.quarantine import quarantine_reasons
from autobird.corpus.schemas import PAIRS
from autobird.dataset.counts import NO_WINDOW, count_dataset
from autobird.dataset.drop_reasons import BETWEEN
from autobird.dataset.index import UNCERTAIN
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.reviewed import CHOSEN
from autobird.dataset.settings import DatasetStageSettings
from autobird.evaluation.calibration import fit_calibration, groups_of_species
from autobird.evaluation.predictions import predictions_of_split
from autobird.predict.classification import Calibration
from autobird.sources.base import ABSENT, PRESENT, REVIEWED, SHA256_PREFIX, Box
from autobird.sources.listing import Listing
from autobird.sources.review_table import COLUMNS, Review
from autobird.sources.select import source_of
from autobird.sources.settings import SourceSettings
from tests.dataset_tables import NO_PAIRS, build_index, many, recordings, tables_of, windows
from tests.reviews import review

FIVE = DatasetStageSettings(min_windows=5)


def write_reviews(path: Path, *rows: Review) -> None:
    path.write_text(csv_text([list(COLUMNS), *(row.row() for row in rows)]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three recordings, two of which are reviewed."""
    for n, name in enumerate(("lake/a.wav", "lake/b.wav", "lake/c.wav")):
        path = tmp_path / "survey" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, np.random.default_rng(n).normal(0, 0.1, 16000 * 10), 16000)
    write_reviews(
        tmp_path / "reviews.csv",
        review("yes"),
        review("no", species="Pica pica"),
        review("other", other="Sitta europaea", species="Turdus merula", sampling_probability=None),
        review("yes", "Ann", file="lake/b.wav"),
        review("no", "Ben", file="lake/b.wav"),
        review("unsure", file="lake/gone.wav"),
    )
    return tmp_path


def listing_of(folder: Path) -> Listing:
    settings = SourceSettings.model_validate(
        {
            "sources": [
                {
                    "name": "reviews",
                    "type": "reviews",
                    "table": str(folder / "reviews.csv"),
                    "recordings": str(folder / "survey"),
                }
            ],
            "batches": 1,
        }
    )
    return Listing(source_of(settings, folder / "cache"), settings)


def rows(listing: Listing, table: str) -> list[list[str]]:
    return list(csv.reader(listing.manifests.text(table).splitlines()[1:]))


def test_reviewed_recordings_are_listed_with_their_decisions_and_others_are_not(folder: Path) -> None:
    listing = listing_of(folder)
    found = {row[0]: row for row in rows(listing, "0")}
    assert list(found) == ["reviews/lake/a.wav", "reviews/lake/b.wav", "reviews/lake/gone.wav"]
    assert found["reviews/lake/a.wav"][2].startswith(SHA256_PREFIX)
    assert found["reviews/lake/gone.wav"][3].startswith("reviewed, but not below the folder")
    assert {row[0]: row[1] for row in rows(listing, "kinds")} == dict.fromkeys(found, REVIEWED)
    # Where reviewers disagree, nothing is labelled.
    assert [row[3:] for row in rows(listing, "boxes")] == [
        ["Parus major", "", PRESENT, "0.125"],
        ["Pica pica", "", ABSENT, "0.125"],
        ["Sitta europaea", "", PRESENT, ""],
        ["Turdus merula", "", ABSENT, ""],
    ]
    assert listing.species == ["Parus major", "Sitta europaea"]
    assert any("2 of 5 reviewed items have no clear answer (1 because reviewers disagree)" in n for n in listing.notes)


def test_another_species_that_is_no_name_of_one_labels_nothing(folder: Path) -> None:
    with (folder / "reviews.csv").open("a") as file:
        for n, name in enumerate(("noise", "unknown")):
            file.write(csv_text([review("other", other=name, start=10.0 * n + 20, end=10.0 * n + 25).row()]))
    listing = listing_of(folder)
    assert listing.species == ["Parus major", "Sitta europaea"]
    problems = {row[3]: row[4] for row in rows(listing, "boxes")}
    assert problems["noise"]
    assert problems["unknown"]


def test_a_decision_about_a_sampled_window_stays_one_if_another_decision_says_the_same(folder: Path) -> None:
    with (folder / "reviews.csv").open("a") as file:
        file.write(csv_text([review("other", other="Parus major", species="Turdus merula").row()]))
    assert [row[6] for row in rows(listing_of(folder), "boxes") if row[3] == "Parus major"] == ["0.125"]


def test_a_new_decision_changes_the_labels_alone(folder: Path) -> None:
    before = listing_of(folder).manifests
    with (folder / "reviews.csv").open("a") as file:
        file.write(csv_text([review("no", start=7.5, end=10.0).row()]))
    after = listing_of(folder).manifests
    tables = ("0", "grouping", "details", "exclusions", "boxes", "labels", "kinds", "not_audio")
    assert [t for t in tables if before.digest(t) != after.digest(t)] == ["boxes"]


def test_a_source_of_reviews_needs_its_table_and_its_recordings(folder: Path) -> None:
    with pytest.raises(ValueError, match="type reviews needs table"):
        SourceSettings.model_validate({"sources": [{"name": "r", "type": "reviews", "table": "reviews.csv"}]})
    (folder / "reviews.csv").unlink()
    with pytest.raises(AutobirdError, match="is not a file; give the reviews"):
        listing_of(folder)


def reviewed(
    count: int, *boxes: tuple[float, float, str, bool, float], prefix: str = "reviews"
) -> tuple[list[tuple[str, str, str, str]], pd.DataFrame, pd.DataFrame]:
    """Return reviewed recordings with the same decisions in each, their table of labels, and the boxes."""
    names = [f"{prefix}/{i}" for i in range(count)]
    labels = pd.DataFrame([(name, REVIEWED, []) for name in names], columns=["recording", "kind", "uncertain"])
    made = [
        (name, start, end, species, "", PRESENT if present else ABSENT, sampling)
        for name in names
        for start, end, species, present, sampling in boxes
    ]
    boxes_table = pd.DataFrame(made, columns=list(Box._fields))
    return [(name, "", name, "") for name in names], labels, boxes_table


def index_with(
    *boxes: tuple[float, float, str, bool, float], count: int = 30
) -> tuple[pd.DataFrame, list[str], RecordingTables, pd.DataFrame]:
    rows_, labels, made = reviewed(count, *boxes)
    table = recordings(*many("Parus major", 30), *many("Pica pica", 30), *rows_)
    tables = tables_of(table, labels=labels, boxes=made)
    index, found = build_index(table, windows(table), tables, FIVE)
    return index, found, tables, table


def test_a_decision_says_something_about_its_window_and_species_alone() -> None:
    index, labels, _, _ = index_with(
        (0.0, 5.0, "Parus major", True, 0.1),
        (2.5, 7.5, "Pica pica", False, 0.1),
        (2.5, 7.5, "Sitta europaea", True, 0.0),
    )
    train = index[index["recording"].str.startswith("reviews") & (index["split"] == "train")]
    first = train[train["recording"] == train["recording"].iloc[0]]
    columns = ["present", "absent", "unknown", "default", "dropped", "negative"]
    assert first[columns].to_numpy().tolist() == [
        [["Parus major"], [], [], "unknown", "", False],
        [["Sitta europaea"], ["Pica pica"], [], "unknown", "", False],
        [[], [], [], "unknown", UNCERTAIN, False],
    ]
    # Of the whole recording nothing is known, because a few windows were heard.
    assert first["recording_present"].tolist() == [[], [], []]
    assert set(first["recording_default"]) == {"unknown"}
    assert labels == ["Parus major", "Pica pica", "Sitta europaea"]


def test_a_window_of_which_only_an_absent_species_is_known_is_used() -> None:
    index, labels, tables, table = index_with((0.0, 5.0, "Pica pica", False, 0.1))
    used = index[index["recording"].str.startswith("reviews") & (index["dropped"] == "")]
    assert len(used) == 30
    assert set(used["split"]) == {"train", "validation", "test"}
    counts = count_dataset(table, index, labels, tables, FIVE)
    assert counts["boxes"] == {"used (reviewed: absent)": 30}


def test_decisions_that_no_window_holds_are_counted() -> None:
    index, labels, tables, table = index_with((1.0, 6.0, "Pica pica", True, 0.1), (0.0, 5.0, "Pica pica", True, 0.1))
    assert count_dataset(table, index, labels, tables, FIVE)["boxes"] == {
        NO_WINDOW: 30, "used (reviewed: present)": 30
    }  # fmt: skip


def test_reviews_move_no_other_recording() -> None:
    table = recordings(*many("Parus major", 12), *many("Pica pica", 12))
    alone, _ = build_index(table, windows(table), tables_of(table), FIVE)
    with_reviews, _, _, _ = index_with((0.0, 5.0, "Parus major", True, 0.5), count=1)
    rows_, labels, boxes = reviewed(40, (0.0, 5.0, "Parus major", True, 0.5))
    both = recordings(*many("Parus major", 12), *many("Pica pica", 12), *rows_)
    index, _ = build_index(both, windows(both), tables_of(both, labels=labels, boxes=boxes), FIVE)
    others = index[~index["recording"].str.startswith("reviews")].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, alone)
    assert len(with_reviews)


@pytest.mark.parametrize("seed", range(4))
def test_reviews_that_make_a_species_trainable_move_no_recording_of_others(seed: int) -> None:
    settings = DatasetStageSettings(min_windows=12, seed=seed)
    table = recordings(*many("Parus major", 12), *many("Pica pica", 12), *many("Sitta europaea", 3))
    # The few recordings of one species are in sessions with recordings of another one.
    sessions = [
        (f"{s}/{i}", "Ann", f"2020-05-0{i + 1}", "x", "") for s in ("Parus major", "Sitta europaea") for i in range(3)
    ]
    grouping = pd.DataFrame(sessions, columns=["recording", "recordist", "date", "place", "split"])
    alone, before = build_index(table, windows(table), tables_of(table, grouping), settings)
    rows_, labels, boxes = reviewed(9, (0.0, 5.0, "Sitta europaea", True, 0.5))
    both = recordings(*many("Parus major", 12), *many("Pica pica", 12), *many("Sitta europaea", 3), *rows_)
    index, after = build_index(both, windows(both), tables_of(both, grouping, labels=labels, boxes=boxes), settings)
    assert set(after) - set(before) == {"Sitta europaea"}
    splits = [i.drop_duplicates("recording").set_index("recording")["recording_split"] for i in (alone, index)]
    pd.testing.assert_series_equal(splits[1][splits[0].index], splits[0])


@pytest.mark.parametrize("seed", range(4))
def test_reviewed_recordings_connect_no_other_recordings(seed: int) -> None:
    settings = DatasetStageSettings(min_windows=5, seed=seed)
    table = recordings(*many("Parus major", 12), *many("Pica pica", 12))
    alone, _ = build_index(table, windows(table), tables_of(table), settings)
    rows_, labels, boxes = reviewed(2, (0.0, 5.0, "Parus major", True, 0.5))
    both = recordings(*many("Parus major", 12), *many("Pica pica", 12), *rows_)
    # One reviewed recording has the same audio as four others, the other one as a single one.
    linked = [("Parus major/0", 0), ("Parus major/1", 0), ("Parus major/2", 0), ("Pica pica/3", 0), ("Pica pica/5", 1)]
    pairs = pd.DataFrame([(name, f"reviews/{n}", 9, 0, "", "") for name, n in linked], columns=PAIRS)
    index, _ = build_index(both, windows(both), tables_of(both, labels=labels, boxes=boxes, pairs=pairs), settings)
    others = index[~index["recording"].str.startswith("reviews")].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, alone)
    of = index.drop_duplicates("recording").set_index("recording")
    assert of.loc["reviews/1", ["group", "split"]].tolist() == of.loc["Pica pica/5", ["group", "split"]].tolist()
    splits = {of.loc[name, "recording_split"] for name, n in linked if n == 0}
    if len(splits) == 1:
        assert {of.loc["reviews/0", "split"]} == splits
    else:
        assert (of.loc["reviews/0", "dropped"], of.loc["reviews/0", "recording_split"]) == (BETWEEN, "train")


def test_decisions_about_windows_that_were_not_drawn_at_random_are_for_training_alone() -> None:
    index, _, _, _ = index_with(
        (0.0, 5.0, "Parus major", True, 0.0), (2.5, 7.5, "Parus major", True, 0.0), (2.5, 7.5, "Pica pica", False, 0.5)
    )
    of_reviews = index[index["recording"].str.startswith("reviews") & (index["start"] < 80_000)]
    for split, rows_ in of_reviews.groupby("split"):
        first, second = rows_[rows_["start"] == 0], rows_[rows_["start"] == 40_000]
        is_train = split == "train"
        assert set(first["dropped"]) == ({""} if is_train else {CHOSEN})
        assert set(second["dropped"]) == {""}
        assert {tuple(names) for names in second["present"]} == ({("Parus major",)} if is_train else {()})
        assert {tuple(names) for names in second["absent"]} == {("Pica pica",)}


def test_weights_are_those_of_the_sampling_probability_with_the_mean_one() -> None:
    index, _, _, _ = index_with((0.0, 5.0, "Parus major", True, 0.1), (2.5, 7.5, "Parus major", False, 0.4))
    of_reviews = index["recording"].str.startswith("reviews")
    assert set(index.loc[~of_reviews, "weight"]) == {1.0}
    validation = index[of_reviews & (index["split"] == "validation") & (index["dropped"] == "")]
    assert validation["weight"].mean() == pytest.approx(1)
    by_start = validation.groupby("start")["weight"].first()
    assert by_start[0] / by_start[40_000] == pytest.approx(4)


def test_the_calibration_counts_windows_by_their_weight() -> None:
    rng = np.random.default_rng(0)
    n = 400
    logits = rng.normal(0, 2, (n, 1))
    present = rng.random(n) < 1 / (1 + np.exp(-logits[:, 0]))
    weight = np.where(present, 4.0, 1.0)

    def calibration(rows_: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        names: list[list[str]] = [["x"] if present[i] else [] for i in rows_]
        absent = [[] if present[i] else ["x"] for i in rows_]
        empty: list[list[str]] = [[] for _ in rows_]
        table = pd.DataFrame(
            {
                "recording": [f"r{n:04d}" for n in range(len(rows_))], "number": 0, "group": [f"g{n % 40}" for n in rows_], "split": "validation",
                "present": names, "absent": absent, "unknown": empty, "default": "unknown", "recording_present": names,
                "recording_absent": absent, "recording_unknown": empty, "recording_default": "unknown", "weight": weights,
                "logits": list(logits[rows_]),
            }
        )  # fmt: skip
        found = fit_calibration(table, ["x"], "mean", "independent")
        return float(found.scale[0]), float(found.offset[0])

    plain = calibration(np.arange(n), np.ones(n))
    weighted = calibration(np.arange(n), weight)
    assert weighted[1] > plain[1] + 0.5


def test_groups_of_reviewed_windows_count_for_their_species() -> None:
    # Of the recordings of reviewed windows nothing is known.
    n = 6
    sets = {
        f"{prefix}{name}": [[] for _ in range(n)]
        for prefix in ("", "recording_")
        for name in ("present", "absent", "unknown")
    }
    table = pd.DataFrame(
        {
            "recording": [f"r{i}" for i in range(n)], "number": 0, "group": [f"g{i // 2}" for i in range(n)], "split": "validation",
            **sets, "present": [["x"]] * 4 + [[]] * 2, "default": "unknown", "recording_default": "unknown",
            "logits": [np.zeros(1, np.float32)] * n,
        }
    )  # fmt: skip
    split = predictions_of_split(table, ["x"], "validation", Calibration.none("independent", 1, "mean"))
    assert groups_of_species(split).tolist() == [2]


def test_a_reviewed_copy_of_a_labelled_recording_is_not_used() -> None:
    table = recordings(
        ("birds/a", "Parus major", "same", ""), ("reviews/a", "", "same", ""), ("reviews/b", "", "other", "")
    )
    kinds = {"birds/a": "", "reviews/a": REVIEWED, "reviews/b": REVIEWED}
    exclusions = pd.DataFrame(columns=["recording", "reason"], dtype=str)
    reasons = quarantine_reasons(
        table, exclusions, NO_PAIRS, pd.DataFrame({"recording": list(kinds), "kind": list(kinds.values())})
    )
    assert reasons[["birds/a", "reviews/a", "reviews/b"]].tolist() == [
        "",
        "the same audio as birds/a, which is used",
        "",
    ]
