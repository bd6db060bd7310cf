"""Label sets of windows or recordings as arrays: which species are present, and of which it is known whether they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Flags = NDArray[np.bool_]

ABSENT, UNKNOWN = "absent", "unknown"
"""Values of the column `default` of a label set: what holds for all species that its three lists do not name."""


@dataclass(frozen=True)
class LabelSets:
    """Label sets of some windows or recordings. Species that are not among the labels are ignored.

    Attributes:
        present: whether a species is present; shape (rows, species).
        known: whether it is known that the species is present, or that it is absent. Cells that are not known have no part in losses
            and metrics; shape (rows, species).
    """

    present: Flags
    known: Flags

    @classmethod
    def of(cls, table: pd.DataFrame, labels: Sequence[str], prefix: str = "") -> "LabelSets":
        """Return the label sets of the rows of a table.

        Args:
            table: columns present, absent, unknown (lists of names) and default (`ABSENT` or `UNKNOWN`). A name in several lists counts
                as present, otherwise as unknown.
            labels: species in the order of the columns of the result.
            prefix: text before the names of the columns: `recording_` for the label sets of whole recordings.
        """
        column = {name: i for i, name in enumerate(labels)}
        known = np.repeat((table[f"{prefix}default"] == ABSENT).to_numpy(bool)[:, None], len(labels), axis=1)
        present = np.zeros_like(known)
        _set(known, table[f"{prefix}absent"], column, True)
        _set(known, table[f"{prefix}unknown"], column, False)
        _set(known, table[f"{prefix}present"], column, True)
        _set(present, table[f"{prefix}present"], column, True)
        return cls(present, known)

    @property
    def complete(self) -> Flags:
        """Whether it is known of every species of the labels whether it is present; shape (rows,)."""
        return np.asarray(self.known.all(axis=1))

    @property
    def single(self) -> NDArray[np.int64]:
        """For a complete row in which exactly one species is present, that species as an index; otherwise -1; shape (rows,)."""
        is_single = self.complete & (self.present.sum(axis=1) == 1)
        if not self.present.shape[1]:
            return np.full(len(is_single), -1)
        return np.where(is_single, self.present.argmax(axis=1), -1).astype(np.int64)


def _set(flags: Flags, lists: Iterable[Sequence[str]], column: dict[str, int], value: bool) -> None:
    """Set the cells that the lists name, one list per row, in place."""
    for row, names in enumerate(lists):
        for name in names:
            if name in column:
                flags[row, column[name]] = value
