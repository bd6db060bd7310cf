"""Tables of predictions for tests."""

import numpy as np
import pandas as pd


def predictions(
    rows: list[tuple[str, str, str, list[float]]], split: str = "test", windows: int = 1, complete: bool = True
) -> pd.DataFrame:
    """Return a table of logits (`PREDICTIONS`) in which all windows of a recording have the same species and logits.

    Args:
        rows: recording, group, species (several are separated by +), and probabilities in the order of the labels.
        split: split of all rows.
        windows: number of windows of each recording.
        complete: whether all species of the recordings are known.
    """
    table = [
        {
            "recording": recording, "group": group, "start": 40_000 * window, "split": split, "present": species.split("+"),
            "complete": complete, "recording_species": species.split("+"), "recording_complete": complete,
            "logits": np.log(np.array(probabilities, np.float32)),
        }
        for recording, group, species, probabilities in rows
        for window in range(windows)
    ]  # fmt: skip
    return pd.DataFrame(table)
