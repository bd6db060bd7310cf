"""The tables about recordings, besides their properties, from which the data set is made."""

import json
from pathlib import Path
from typing import NamedTuple, Self

import pandas as pd

from autobird.core.tables import read_text_csv
from autobird.sources.base import Box

_BOX_NUMBERS = {"start": float, "end": float, "sampling_probability": float}

NO_BOXES = pd.DataFrame(columns=list(Box._fields)).astype(_BOX_NUMBERS)
NO_LABELS = pd.DataFrame(columns=["recording", "kind", "uncertain"])


class RecordingTables(NamedTuple):
    """Metadata, quarantine, near-duplicates, kinds and annotations of all recordings.

    Attributes:
        grouping: columns recording, recordist, date, place, split.
        quarantined: ids of the recordings that are not used.
        pairs: near-duplicates (`PAIRS`).
        boxes: columns recording, start, end (seconds), species, problem, decision, sampling_probability; see `Box`.
        labels: columns recording, kind ("", `NEGATIVE`, `ANNOTATED` or `REVIEWED`) and uncertain (list of species that may be present, in
            any spelling). A recording without a row is a focal recording without uncertain species.
    """

    grouping: pd.DataFrame
    quarantined: frozenset[str]
    pairs: pd.DataFrame
    boxes: pd.DataFrame = NO_BOXES
    labels: pd.DataFrame = NO_LABELS

    @classmethod
    def read(cls, grouping: Path, quarantine: Path, pairs: Path, boxes: Path, labels: Path) -> Self:
        """Read the tables from the outputs of the corpus stages."""
        quarantined = frozenset(read_text_csv(quarantine)["recording"])
        box_table = read_text_csv(boxes).replace({"sampling_probability": {"": "0"}}).astype(_BOX_NUMBERS)
        label_table = read_text_csv(labels)
        label_table["uncertain"] = label_table["uncertain"].map(lambda text: json.loads(text) if text else [])
        return cls(read_text_csv(grouping), quarantined, read_text_csv(pairs), box_table, label_table)
