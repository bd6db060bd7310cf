"""The table of decisions: safe at any kill, undo, several reviewers, and what their decisions say together."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.review.reviews import ReviewTable
from autobird.sources.review_table import COLUMNS, read_reviews, verdict_of, verdicts
from tests.reviews import ITEM, NOW, review


def table(folder: Path) -> ReviewTable:
    return ReviewTable(folder / "reviews.csv", clock=lambda: NOW)


def test_a_decision_is_a_row_with_all_that_is_known_about_the_item(tmp_path: Path) -> None:
    table(tmp_path).decide(ITEM, "Ann", "other", "Pica pica")
    assert (tmp_path / "reviews.csv").read_text() == ",".join(COLUMNS) + (
        "\nlake/a.wav,2.5,7.5,Parus major,other,Pica pica,Ann,2026-05-01T04:00:00+00:00,abc123,score 0.5-0.75,0.625,0.125\n"
    )
    assert read_reviews(tmp_path / "reviews.csv") == [review("other", other="Pica pica")]


def test_a_process_killed_at_any_byte_costs_its_own_decision_alone(tmp_path: Path) -> None:
    first = table(tmp_path)
    first.decide(ITEM, "Ann", "yes")
    complete = (tmp_path / "reviews.csv").read_bytes()
    first.decide(replace(ITEM, start=7.5, end=12.5), "Ann", "no")
    whole = (tmp_path / "reviews.csv").read_bytes()
    for cut in range(len(whole)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "reviews.csv").write_bytes(whole[:cut])
        after = table(folder)
        kept = int(cut >= len(complete))
        assert len(after.rows()) == kept
        after.decide(replace(ITEM, start=20, end=25), "Ben", "unsure")
        assert [r.decision for r in table(folder).rows()] == ["yes"] * kept + ["unsure"]
        # What was cut is kept aside.
        lines = whole[:cut].rfind(b"\n") + 1
        assert (after.cut.read_bytes() if after.cut.exists() else b"\n") == whole[lines:cut] + b"\n"


def _decide(folder: Path, reviewer: str) -> None:
    for n in range(20):
        table(folder).decide(replace(ITEM, start=5.0 * n, end=5.0 * n + 5), reviewer, "yes")


def test_several_processes_write_to_one_table(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_decide, args=(tmp_path, name)) for name in ("Ann", "Ben")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    rows = read_reviews(tmp_path / "reviews.csv")
    assert sorted((r.reviewer, r.start) for r in rows) == [
        (name, 5.0 * n) for name in ("Ann", "Ben") for n in range(20)
    ]


def test_undo_takes_back_the_latest_decision_of_the_reviewer(tmp_path: Path) -> None:
    decisions = table(tmp_path)
    other = replace(ITEM, start=20, end=25)
    decisions.decide(ITEM, "Ann", "no")
    decisions.decide(ITEM, "Ann", "yes")
    decisions.decide(other, "Ann", "no")
    decisions.decide(other, "Ben", "yes")
    assert decisions.undo("Ann") == review("no", item=other)
    assert decisions.decided("Ann") == {ITEM.key}
    assert decisions.decided("Ben") == {other.key}
    assert verdicts(decisions.rows())[ITEM.key].present is True
    decisions.undo("Ann")
    assert verdicts(decisions.rows())[ITEM.key].present is False
    decisions.undo("Ann")
    assert decisions.undo("Ann") is None
    assert decisions.decided("Ann") == set()
    assert set(verdicts(decisions.rows())) == {other.key}


@pytest.mark.parametrize(
    ("decisions", "present", "other", "disagree"),
    [
        (["yes"], True, "", False),
        (["no"], False, "", False),
        (["other:Pica pica"], False, "Pica pica", False),
        (["unsure"], None, "", False),
        (["skip"], None, "", False),
        (["yes", "yes"], True, "", False),
        (["yes", "no"], None, "", True),
        (["yes", "other:Pica pica"], None, "", True),
        (["no", "other:Pica pica"], False, "Pica pica", False),
        (["other:Sitta europaea", "other:Pica pica"], False, "", False),
        (["yes", "unsure"], True, "", False),
        (["no", "skip"], False, "", False),
    ],
)
def test_decisions_of_several_reviewers(decisions: list[str], present: bool | None, other: str, disagree: bool) -> None:
    rows = []
    for n, text in enumerate(decisions):
        decision, _, name = text.partition(":")
        rows.append(review(decision, f"reviewer {n}", name))  # type: ignore[arg-type]
    assert verdict_of(rows)[:3] == (present, other, disagree)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decision": "maybe"}, "decision 'maybe'; use one of yes, no, other"),
        ({"species": ""}, "species is empty"),
        ({"start": 9.0}, "the window is from 9 to 7.5 s"),
        ({"other_species": "Pica pica"}, "the decision `other` names another species"),
        ({"decision": "other"}, "the decision `other` names another species"),
        ({"decision": "other", "other_species": "Parus major"}, "use the decision yes"),
        ({"probability": 1.5}, "probability 1.5 is not from 0 to 1"),
        ({"sampling_probability": 0.0}, "sampling_probability 0 is not above 0"),
        ({"reviewer": "A\nnn"}, "has a line break"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    row = review("yes")._replace(**change)  # type: ignore[arg-type]
    text = ",".join(COLUMNS) + "\n" + ",".join(f'"{value}"' for value in row.row()) + "\n"
    (tmp_path / "reviews.csv").write_text(text)
    with pytest.raises(AutobirdError, match=r"reviews\.csv, line") as error:
        table(tmp_path)
    assert message in str(error.value)


def test_a_decision_that_is_not_allowed_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(AutobirdError, match="reviewer is empty"):
        table(tmp_path).decide(ITEM, " ", "yes")
    assert not (tmp_path / "reviews.csv").exists()


def test_a_table_that_a_spreadsheet_saved_can_be_read(tmp_path: Path) -> None:
    table(tmp_path).decide(ITEM, "Ann", "yes")
    text = (tmp_path / "reviews.csv").read_text()
    (tmp_path / "reviews.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    decisions = table(tmp_path)
    decisions.decide(ITEM, "Ben", "no")
    assert [r.reviewer for r in table(tmp_path).rows()] == ["Ann", "Ben"]


@pytest.mark.parametrize(
    "change", [{"start": 0.3333125, "end": 5.3333125}, {"file": " lake/a.wav"}, {"file": "a.wav "}]
)
def test_a_decided_item_is_found_again_in_the_table(tmp_path: Path, change: dict[str, object]) -> None:
    item = replace(ITEM, **change)  # type: ignore[arg-type]
    table(tmp_path).decide(item, "Ann", "yes")
    assert table(tmp_path).decided("Ann") == {item.key}


def test_the_sampling_probability_is_that_of_all_samples_together() -> None:
    rows = [
        review("yes", start=0.0, end=5.0, sampling_probability=0.1),
        # A larger sample of the same stratum was drawn later: all items of it had this probability.
        review("yes", start=5.0, end=10.0, sampling_probability=0.2),
        # Simple random samples hold the interval, too, but one of them is of other places.
        review("no", start=10.0, end=15.0, stratum="random 0.02-1", sampling_probability=0.05),
        review("no", start=15.0, end=20.0, stratum="random 0.02-1 [site lake]", sampling_probability=0.9),
        # Another interval, another species.
        review("no", start=20.0, end=25.0, stratum="random 0.02-1", probability=0.3, sampling_probability=0.05),
        review("no", start=25.0, end=30.0, species="Pica pica", sampling_probability=0.01),
        review("no", start=30.0, end=35.0, stratum="uncertain", sampling_probability=None),
        # Drawn at random by one reviewer, and shown to another one by another queue.
        review("no", "Ben", start=0.0, end=5.0, stratum="uncertain", sampling_probability=None),
        review("yes", start=0.0, end=5.0, stratum="uncertain", sampling_probability=None),
    ]
    found = {key.start: verdict.sampling_probability for key, verdict in verdicts(rows).items()}
    assert found == {0.0: 0.2, 5.0: 0.2, 10.0: 0.2, 15.0: 0.9, 20.0: 0.05, 25.0: 0.05, 30.0: None}


def test_a_table_that_was_removed_has_no_decisions(tmp_path: Path) -> None:
    decisions = table(tmp_path)
    decisions.decide(ITEM, "Ann", "yes")
    assert decisions.decided("Ann") == {ITEM.key}
    (tmp_path / "reviews.csv").unlink()
    assert decisions.decided("Ann") == set()
    decisions.decide(ITEM, "Ann", "no")
    assert [r.decision for r in decisions.rows()] == ["no"]
