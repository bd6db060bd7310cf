"""The tables about recordings, besides their properties, from which the data set is made."""

from pathlib import Path
from typing import NamedTuple, Self

import pandas as pd

from autobird.core.tables import read_text_csv


class RecordingTables(NamedTuple):
    """Metadata, quarantine, near-duplicates and annotations of all recordings.

    Attributes:
        grouping: columns recording, recordist, date, place, split.
        quarantined: ids of the recordings that are not used.
        pairs: near-duplicates (`PAIRS`).
        boxes: columns recording, start, end (seconds), species, problem; None if each recording has one label.
    """

    grouping: pd.DataFrame
    quarantined: frozenset[str]
    pairs: pd.DataFrame
    boxes: pd.DataFrame | None = None

    @classmethod
    def read(cls, grouping: Path, quarantine: Path, pairs: Path, boxes: Path | None) -> Self:
        """Read the tables from the outputs of the corpus stages."""
        quarantined = frozenset(read_text_csv(quarantine)["recording"])
        box_table = None if boxes is None else read_text_csv(boxes).astype({"start": float, "end": float})
        return cls(read_text_csv(grouping), quarantined, read_text_csv(pairs), box_table)
