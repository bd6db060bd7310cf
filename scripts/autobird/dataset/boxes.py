"""Labels of windows from boxes: which species sings in which window of an annotated recording."""

import numpy as np
import pandas as pd

from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.base import NO_LABEL, NO_NAME

NO_BOX = "no box overlaps it enough"
SEVERAL = "boxes of several species overlap it"


def label_windows(windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings) -> pd.DataFrame:
    """The species of each window of annotated recordings, and why it has none.

    A window has the label of a box that it overlaps by `min_overlap` seconds, or wholly if the box is shorter; with
    `centre`, of a box that its centre lies in. Windows without any box are background.

    Args:
        windows: columns recording, start (samples).
        boxes: columns recording, start, end (seconds), species, problem.
        settings: the rule, and the length of a window.

    Returns:
        columns species, dropped, present (all species with a box that counts for the window) and complete (whether
        every box that touches the window counts for it and names a species), with the index of `windows`.
    """
    out = pd.DataFrame({"species": settings.background or "", "dropped": "", "complete": True}, index=windows.index)
    nothing = [settings.background] if settings.background else []
    out["present"] = pd.Series([nothing] * len(out), out.index, dtype=object)
    if settings.background is None:
        out["dropped"] = NO_BOX
    # A box that names no species gives no label, but what it holds is no background either.
    drawn_boxes = boxes[boxes["problem"].isin(["", NO_LABEL, NO_NAME])]
    drawn_boxes = drawn_boxes.assign(species=drawn_boxes["species"].where(drawn_boxes["problem"] == "", ""))
    by_recording = dict(iter(drawn_boxes.groupby("recording")))
    for name, part in windows.groupby("recording"):
        drawn = by_recording.get(name)
        if drawn is not None:
            _label(out, part, drawn, settings)
    return out


def recording_truth(windows: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """What sings in each annotated recording: from its boxes, as a short one may count for no window.

    Args:
        windows: columns recording, present (of `label_windows`).
        boxes: columns recording, species, problem.

    Returns:
        columns recording_species (sorted names, the label of background included) and recording_complete (whether every
        box names a species), with the index of `windows`.
    """
    names: dict[str, set[str]] = {name: set() for name in windows["recording"].unique()}
    for recording, present in zip(windows["recording"], windows["present"], strict=True):
        names[recording].update(present)
    for recording, species in boxes.loc[boxes["problem"] == "", ["recording", "species"]].itertuples(index=False):
        names.get(recording, set()).add(species)
    unnamed = set(boxes.loc[boxes["problem"].isin([NO_LABEL, NO_NAME]), "recording"])
    found = {recording: sorted(species) for recording, species in names.items()}
    return pd.DataFrame(
        {
            "recording_species": windows["recording"].map(found),
            "recording_complete": ~windows["recording"].isin(unnamed),
        }
    )


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
    species_of = boxes["species"].to_numpy(object)
    names = sorted(set(species_of) - {""})
    heard = np.zeros((len(windows), len(names) + 1), bool)
    counts = inside & (species_of != "")
    out.loc[windows.index, "complete"] = ~((overlap > 0) & ~counts).any(axis=1)
    for number, name in enumerate(names):
        heard[:, number] = inside[:, species_of == name].any(axis=1)
    count = heard.sum(axis=1)
    touched = (overlap > 0).any(axis=1)
    species = np.where(count == 1, np.asarray([*names, ""], object)[heard.argmax(axis=1)], "")
    dropped = np.select([count == 1, count > 1, touched], ["", SEVERAL, NO_BOX], "none")
    free = dropped == "none"
    present = [[name for name, here in zip(names, row, strict=True) if here] for row in heard[~free, :-1]]
    out.loc[windows.index[~free], "present"] = pd.Series(present, windows.index[~free], dtype=object)
    out.loc[windows.index[~free], "species"] = species[~free]
    out.loc[windows.index[~free], "dropped"] = dropped[~free]
