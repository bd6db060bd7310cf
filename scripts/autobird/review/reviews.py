"""Write decisions to reviews.csv so that none is lost: each is appended, flushed and synchronised before it is acknowledged."""

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text
from autobird.review.items import ReviewItem
from autobird.sources.review_table import (
    COLUMNS,
    Decision,
    ItemKey,
    Review,
    check_review,
    latest_decisions,
    parse_reviews,
    split_cut_line,
)


class ReviewTable:
    """The table reviews.csv of a review. Several processes and reviewers can write to it at the same time.

    Args:
        path: the table; it is created by the first decision.
        clock: returns the time of a decision.

    Attributes:
        path: the table.
        cut: the file that keeps the last line that a killed process has left without its end, `<table>.cut`.

    Raises:
        AutobirdError: the table cannot be read, or has a row with a value that is not allowed.
    """

    def __init__(self, path: Path, clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> None:
        self.path, self._clock = path, clock
        self.cut = path.with_name(f"{path.name}.cut")
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        self._state = (-1, -1)
        self._rows: list[Review] = []
        if path.exists():
            self._refresh()

    def rows(self) -> list[Review]:
        """Return all rows, with those that other processes have added meanwhile; none if the table was removed."""
        if self.path.exists():
            self._refresh()
        else:
            self._rows, self._state = [], (-1, -1)
        return list(self._rows)

    def decide(self, item: ReviewItem, reviewer: str, decision: Decision, other_species: str = "") -> Review:
        """Append a decision; when this returns, it is on the disk.

        Args:
            item: what the decision is about.
            reviewer: name of the reviewer.
            decision: the decision; `undo` takes back the latest one of this reviewer about the item.
            other_species: the species that is there instead, with the decision `other`.

        Raises:
            AutobirdError: a value is not allowed, or the table cannot be written.
        """
        review = Review(
            item.file, item.start, item.end, item.species, decision, other_species.strip(), reviewer.strip(),
            self._clock().isoformat(timespec="seconds"), item.model, item.stratum, item.probability,
            item.sampling_probability,
        )  # fmt: skip
        self._append(review)
        return review

    def undo(self, reviewer: str) -> Review | None:
        """Take back the latest decision of a reviewer that is left, whatever it is about; return it, None if there is none.

        Raises:
            AutobirdError: the table cannot be written.
        """
        last = self.last(reviewer)
        if last is not None:
            self._append(last._replace(decision="undo", other_species="", time=self._now()))
        return last

    def last(self, reviewer: str) -> Review | None:
        """Return the latest decision of a reviewer that was not taken back."""
        left: list[Review] = []
        for row in self.rows():
            if row.reviewer != reviewer.strip():
                continue
            if row.decision != "undo":
                left.append(row)
            elif (position := _last_about(left, row.key)) is not None:
                del left[position]
        return left[-1] if left else None

    def decided(self, reviewer: str) -> set[ItemKey]:
        """Return the items about which a reviewer has decided."""
        return {key for key, decisions in latest_decisions(self.rows()).items() if reviewer.strip() in decisions}

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")

    def _append(self, review: Review) -> None:
        check_review(review, str(self.path))
        line = csv_text([review.row()]).encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, self.path.open("a+b") as file:
                self._set_cut_line_aside(file.fileno())
                if os.fstat(file.fileno()).st_size == 0:
                    line = csv_text([list(COLUMNS)]).encode() + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AutobirdError(
                f"{self.path} cannot be written ({error.strerror or error}), so the decision is not stored; make room, or name another "
                "--output"
            ) from error

    def _set_cut_line_aside(self, descriptor: int) -> None:
        """Move a last line without its end to the file `cut`; it was never acknowledged."""
        complete, rest = split_cut_line(self.path.read_bytes())
        if rest:
            with self.cut.open("ab") as file:
                file.write(rest + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.ftruncate(descriptor, len(complete))

    def _refresh(self) -> None:
        status = self.path.stat()
        state = (status.st_size, status.st_mtime_ns)
        if state == self._state:
            return
        try:
            text = split_cut_line(self.path.read_bytes())[0].decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise AutobirdError(f"{self.path} cannot be read ({error}); correct or move it") from error
        self._rows = parse_reviews(text, str(self.path)) if text else []
        self._state = state


def _last_about(rows: list[Review], key: ItemKey) -> int | None:
    return next((n for n in range(len(rows) - 1, -1, -1) if rows[n].key == key), None)
