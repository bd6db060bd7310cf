"""Labels of windows from boxes: which species sings in which window of an annotated recording."""

import numpy as np
import pandas as pd

from autobird.corpus.settings import DatasetStageSettings

NO_BOX = "no box overlaps it enough"
SEVERAL = "boxes of several species overlap it"


def label_windows(windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings) -> pd.DataFrame:
    """The species of each window of annotated recordings, and why it has none.

    A window has the label of a box that it overlaps by `min_overlap` seconds, or wholly if the box is shorter; with
    `centre`, of a box that its centre lies in. Windows without any box are background.

    Args:
        windows: columns recording, start (samples).
        boxes: columns recording, start, end (seconds), species; those that count.
        settings: the rule, and the length of a window.

    Returns:
        columns species and dropped, with the index of `windows`.
    """
    out = pd.DataFrame({"species": settings.background or "", "dropped": ""}, index=windows.index)
    if settings.background is None:
        out["dropped"] = NO_BOX
    by_recording = dict(iter(boxes.groupby("recording")))
    for name, part in windows.groupby("recording"):
        drawn = by_recording.get(name)
        if drawn is not None:
            _label(out, part, drawn, settings)
    return out


def _label(out: pd.DataFrame, windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings) -> None:
    start = windows["start"].to_numpy()[:, None] / settings.sample_rate
    end = start + settings.window
    first, last = boxes["start"].to_numpy(), boxes["end"].to_numpy()
    overlap = np.minimum(end, last) - np.maximum(start, first)
    if settings.centre:
        middle = start + settings.window / 2
        inside = (first <= middle) & (middle < last)
    else:
        # A margin for times that were written with few decimals.
        inside = overlap >= np.minimum(settings.min_overlap, last - first) - 1e-6
    codes, names = pd.factorize(boxes["species"], sort=True)
    heard = np.stack([inside[:, codes == c].any(axis=1) for c in range(len(names))], axis=1)
    count = heard.sum(axis=1)
    touched = (overlap > 0).any(axis=1)
    species = np.where(count == 1, np.asarray(names, object)[heard.argmax(axis=1)], "")
    dropped = np.select([count == 1, count > 1, touched], ["", SEVERAL, NO_BOX], "none")
    free = dropped == "none"
    out.loc[windows.index[~free], "species"] = species[~free]
    out.loc[windows.index[~free], "dropped"] = dropped[~free]
