"""The table reviews.csv: what people decided about windows of their recordings, and what follows from several decisions."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self, get_args

from autobird.core.errors import AutobirdError

Decision = Literal["yes", "no", "other", "unsure", "skip", "undo"]
"""What a reviewer says about the species of a window. `yes`: it is there; `no`: it is not, and nothing is said about other species;
`other`: it is not, but another one is; `unsure`, `skip`: no opinion; `undo`: the reviewer takes back his last decision about it."""

DECISIONS: tuple[str, ...] = get_args(Decision)

COLUMNS = (
    "file", "start", "end", "species", "decision", "other_species", "reviewer", "time", "model", "stratum", "probability",
    "sampling_probability",
)  # fmt: skip
"""Columns of the table. `file`: path below the folder of the recordings, with `/`; `start`, `end`: of the window, seconds; `time`: of the
decision, ISO 8601 in UTC; `model`: fingerprint of the bundle whose answer was reviewed; `stratum`: how the window was chosen;
`probability`: that of the species; `sampling_probability`: the probability with which the window was chosen, empty if it was not chosen at
random."""

_STRATUM = re.compile(r"(?P<kind>score|random) (?P<low>[\d.e-]+?)-(?P<high>[\d.]+)(?P<filter> \[.*\])?")

_REMEDY = "correct the line, or remove it"


class Review(NamedTuple):
    """A row of the table, see `COLUMNS`. `sampling_probability` is None if the window was not chosen at random."""

    file: str
    start: float
    end: float
    species: str
    decision: Decision
    other_species: str
    reviewer: str
    time: str
    model: str
    stratum: str
    probability: float
    sampling_probability: float | None

    @property
    def key(self) -> "ItemKey":
        """What the decision is about."""
        return ItemKey.of(self.file, self.start, self.end, self.species)

    def row(self) -> list[str]:
        """Return the values as they are written."""
        sampling = "" if self.sampling_probability is None else f"{self.sampling_probability:.8g}"
        times = (seconds_text(self.start), seconds_text(self.end))
        decision = (self.species, self.decision, self.other_species, self.reviewer, self.time, self.model, self.stratum)
        return [self.file, *times, *decision, f"{self.probability:.6g}", sampling]


class ItemKey(NamedTuple):
    """A window of a recording and a species: what a decision is about. Times in seconds."""

    file: str
    start: float
    end: float
    species: str

    @classmethod
    def of(cls, file: str, start: float, end: float, species: str) -> Self:
        """Return the key with the times as the table has them, so that an item and its decisions have the same key."""
        return cls(file, float(seconds_text(start)), float(seconds_text(end)), species)


class Verdict(NamedTuple):
    """What all decisions about an item say together.

    Attributes:
        present: whether the species is there; None if that is unknown.
        other_species: another species that is there; "" if none is known.
        disagree: whether reviewers contradict each other.
        sampling_probability: see `sampling_probabilities`; None if the item was never chosen at random.
    """

    present: bool | None
    other_species: str
    disagree: bool
    sampling_probability: float | None


def seconds_text(value: float) -> str:
    """Return seconds with up to 3 decimals, without trailing zeros, as they are written in the table."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def check_review(review: Review, where: str) -> None:
    """Check the values of a row.

    Args:
        review: the row.
        where: start of the message, for example the file and the line.

    Raises:
        AutobirdError: a value is not allowed; the message names it and says what is.
    """
    for name, value in zip(COLUMNS, review, strict=True):
        if isinstance(value, str) and any(c in value for c in "\r\n\0"):
            raise AutobirdError(f"{where}: {name} {value!r} has a line break; remove it")
    if review.decision not in DECISIONS:
        raise AutobirdError(f"{where}: decision {review.decision!r}; use one of {', '.join(DECISIONS)}")
    for name in ("file", "species", "reviewer", "model"):
        if not getattr(review, name).strip():
            raise AutobirdError(f"{where}: {name} is empty; {_REMEDY}")
    if not 0 <= review.start < review.end < float("inf"):
        raise AutobirdError(f"{where}: the window is from {review.start:g} to {review.end:g} s; {_REMEDY}")
    if bool(review.other_species.strip()) != (review.decision == "other"):
        raise AutobirdError(
            f"{where}: decision {review.decision} with other_species {review.other_species!r}; the decision `other` names another species, "
            "and no other decision does"
        )
    if review.decision == "other" and review.other_species.strip() == review.species.strip():
        raise AutobirdError(f"{where}: other_species is the species itself; use the decision yes")
    if not 0 <= review.probability <= 1:
        raise AutobirdError(f"{where}: probability {review.probability:g} is not from 0 to 1; {_REMEDY}")
    if review.sampling_probability is not None and not 0 < review.sampling_probability <= 1:
        raise AutobirdError(
            f"{where}: sampling_probability {review.sampling_probability:g} is not above 0 and at most 1; {_REMEDY}, or leave it empty"
        )


def split_cut_line(data: bytes) -> tuple[bytes, bytes]:
    """Return the complete lines of a table, and what a killed process has left of a last one (b"" if nothing)."""
    complete = data.rfind(b"\n") + 1
    return data[:complete], data[complete:]


def read_reviews(path: Path) -> list[Review]:
    """Return the rows of a table in their order. A last line without its end is left out, as it may be cut.

    Raises:
        AutobirdError: the table cannot be read, lacks columns, or has a row with a value that is not allowed.
    """
    try:
        text = split_cut_line(path.read_bytes())[0].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AutobirdError(f"{path} cannot be read ({error}); give the table of reviews, a CSV in UTF-8") from error
    return parse_reviews(text, str(path))


def parse_reviews(text: str, name: str) -> list[Review]:
    """Return the rows of the text of a table.

    Args:
        text: complete lines, the first one with the names of the columns.
        name: of the table, for messages.

    Raises:
        AutobirdError: a column is missing, or a value is not allowed.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise AutobirdError(f"{name} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    return [_review(row, f"{name}, line {reader.line_num}") for row in reader]


def _review(row: dict[str, str], where: str) -> Review:
    # The name of a file may begin or end with a space.
    values = {name: (row[name] or "") if name == "file" else (row[name] or "").strip() for name in COLUMNS}
    try:
        review = Review(
            values["file"],
            float(values["start"]),
            float(values["end"]),
            values["species"],
            values["decision"],  # type: ignore[arg-type]  # checked below
            values["other_species"],
            values["reviewer"],
            values["time"],
            values["model"],
            values["stratum"],
            float(values["probability"]),
            float(values["sampling_probability"]) if values["sampling_probability"] else None,
        )
    except ValueError as error:
        raise AutobirdError(f"{where}: {error}; {_REMEDY}") from error
    check_review(review, where)
    return review


def latest_decisions(reviews: Iterable[Review]) -> dict[ItemKey, dict[str, Review]]:
    """Return the decision that counts of each reviewer about each item, in the order of the items' first decisions.

    The latest one counts; `undo` takes back the latest one that is left. Items without a decision are left out.
    """
    stacks: dict[ItemKey, dict[str, list[Review]]] = {}
    for review in reviews:
        stack = stacks.setdefault(review.key, {}).setdefault(review.reviewer, [])
        if review.decision != "undo":
            stack.append(review)
        elif stack:
            stack.pop()
    found = {
        key: {name: stack[-1] for name, stack in of_reviewer.items() if stack} for key, of_reviewer in stacks.items()
    }
    return {key: decisions for key, decisions in found.items() if decisions}


def verdicts(reviews: Iterable[Review]) -> dict[ItemKey, Verdict]:
    """Return what the decisions of all reviewers say about each item together; see `verdict_of`."""
    rows = list(reviews)
    sampling = sampling_probabilities(rows)
    return {
        key: verdict_of(list(decisions.values()), sampling.get(key))
        for key, decisions in latest_decisions(rows).items()
    }


def verdict_of(decisions: Sequence[Review], sampling: float | None = None) -> Verdict:
    """Return what the decisions of several reviewers about one item say together.

    `unsure` and `skip` are no opinion. If one reviewer says that the species is there and another one that it is not, that is unknown. If
    reviewers name different other species, none is known.

    Args:
        decisions: one of each reviewer, none of them `undo`.
        sampling: `sampling_probability` of the result.
    """
    opinions = [d for d in decisions if d.decision in ("yes", "no", "other")]
    is_yes = {d.decision == "yes" for d in opinions}
    disagree = len(is_yes) == 2
    others = {d.other_species for d in opinions if d.decision == "other"}
    present = is_yes.pop() if len(is_yes) == 1 else None
    other = others.pop() if len(others) == 1 and not disagree else ""
    return Verdict(present, other, disagree, sampling)


class Stratum(NamedTuple):
    """How an item of a sample was chosen.

    Attributes:
        by_species: whether equally many items of each species and interval of the score were drawn; otherwise, all items of the
            interval had the same probability.
        low: lower limit of the score, which belongs to the interval.
        high: its upper limit; 1 belongs to the interval.
        filter: text of the filter of places and times, with its brackets; "" without one.
    """

    by_species: bool
    low: float
    high: float
    filter: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the stratum that the column `stratum` names; None if it is none of a sample."""
        match = _STRATUM.fullmatch(text)
        if match is None:
            return None
        return cls(match["kind"] == "score", float(match["low"]), float(match["high"]), match["filter"] or "")

    @property
    def text(self) -> str:
        """The stratum as it is written."""
        return f"{'score' if self.by_species else 'random'} {self.low:g}-{self.high:g}{self.filter}"

    def holds(self, probability: float) -> bool:
        """Return whether a score is in the interval."""
        return self.low <= probability < self.high or probability == self.high == 1


def sampling_probabilities(reviews: Iterable[Review]) -> dict[ItemKey, float]:
    """Return the probability with which each item that was drawn at random was chosen, by all samples together.

    An item can be in the strata of several samples: a larger one that was drawn later, or a simple random one beside a stratified one.
    Samples are ordered by the same hash (`review.queues`), so the larger one holds what the smaller one holds in a stratum, and the item
    is chosen with the largest of the probabilities.

    Args:
        reviews: rows of the table.
    """
    rows = [r for r in reviews if r.decision != "undo" and r.sampling_probability is not None]
    samples: dict[tuple[str, str, str], dict[Stratum, float]] = {}
    for r in rows:
        if (stratum := Stratum.parse(r.stratum)) is not None:
            of_samples = samples.setdefault((r.model, stratum.filter, r.species if stratum.by_species else ""), {})
            of_samples[stratum] = max(of_samples.get(stratum, 0.0), r.sampling_probability or 0.0)
    found: dict[ItemKey, float] = {}
    for r in rows:
        values = [found.get(r.key, 0.0), r.sampling_probability or 0.0]
        own = Stratum.parse(r.stratum)
        for species in (r.species, "") if own is not None else ():
            of_samples = samples.get((r.model, own.filter, species), {}) if own is not None else {}
            values += [p for stratum, p in of_samples.items() if stratum == own or stratum.holds(r.probability)]
        found[r.key] = max(values)
    return found
