"""Tables of predictions for tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def label_set(
    present: Sequence[str], complete: bool = True, unknown: Sequence[str] = (), prefix: str = ""
) -> dict[str, Any]:
    """Return the columns of a label set.

    Args:
        present: species that are present.
        complete: whether all other species are absent, except `unknown`; otherwise they are unknown.
        unknown: species that may be present.
        prefix: start of the names of the columns.
    """
    sets = {
        "present": list(present), "absent": [], "unknown": list(unknown), "default": "absent" if complete else "unknown",
    }  # fmt: skip
    return {f"{prefix}{name}": value for name, value in sets.items()}


def label_sets(present: Sequence[str], complete: bool = True, unknown: Sequence[str] = ()) -> dict[str, Any]:
    """Return the columns about labels of `PREDICTIONS` for a window and its recording with the same label set, and the weight 1."""
    window, recording = (label_set(present, complete, unknown, prefix) for prefix in ("", "recording_"))
    return {**window, **recording, "negative": complete and not present and not unknown, "weight": 1.0}


def predictions(
    rows: list[tuple[str, str, str, list[float]]], split: str = "test", windows: int = 1, complete: bool = True
) -> pd.DataFrame:
    """Return a table of logits (`PREDICTIONS`) in which all windows of a recording have the same species and logits.

    Args:
        rows: recording, group, species (several are separated by +, "" for none), and probabilities in the order of the labels.
        split: split of all rows.
        windows: number of windows of each recording.
        complete: whether all species of the recordings are known.
    """
    table = [
        {
            "recording": recording, "group": group, "start": 40_000 * window, "number": window, "seconds": 2.5,
            "split": split,
            **label_sets([name for name in species.split("+") if name], complete),
            "logits": np.log(np.array(probabilities, np.float32)),
        }
        for recording, group, species, probabilities in rows
        for window in range(windows)
    ]  # fmt: skip
    return pd.DataFrame(table)
