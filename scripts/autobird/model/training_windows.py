"""The windows of the training split, with how far they can be cropped and the backgrounds that can be added to them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.amplitude_scaling import scaling_of
from autobird.audio.settings import MelSettings
from autobird.audio.windows import frames_per_window
from autobird.core.errors import AutobirdError
from autobird.core.stage import log
from autobird.core.tables import read_table
from autobird.dataset.drop_reasons import BETWEEN, TOO_QUIET
from autobird.model.data import USED_COLUMNS, WindowDataset, used_windows
from autobird.model.distributed import ALONE, Processes
from autobird.model.settings import TrainSettings

_DIGITAL_SILENCE = 1e-4
"""RMS below which a quiet window is no background: -80 dBFS, where 16-bit samples are only a few steps from 0."""


def training_windows(
    index: Path,
    labels: Sequence[str],
    shards: Sequence[Path],
    front_end: MelSettings,
    settings: TrainSettings,
    processes: Processes = ALONE,
) -> WindowDataset:
    """Return the windows of the training split, with what `settings` needs to crop them and to add backgrounds to them.

    Args:
        index: the index file (`INDEX`).
        labels: species in the order of the logits.
        shards: NPY files of mel frames.
        front_end: mel settings of the shards.
        settings: training settings. With softmax outputs, only windows of exactly one species are returned.
        processes: processes that share the windows.

    Raises:
        AutobirdError: the settings ask for crops, and there are no frames between the windows.
    """
    for_crops = ("earliest", "latest") if settings.crop_seconds else ()
    for_backgrounds = ("negative", "rms") if settings.background_probability else ()
    table = read_table(index, [*USED_COLUMNS, *for_crops, *for_backgrounds])
    used = used_windows(table, "train", settings.outputs == "softmax")
    frames, scaling = frames_per_window(front_end.window_samples, front_end.hop_length), scaling_of(front_end)
    windows = WindowDataset.from_index(used, labels, shards, frames, scaling, processes)
    if settings.crop_seconds:
        windows = dataclasses.replace(windows, room=crop_room(used, front_end, settings.crop_seconds))
    elif front_end.alignment == "window":
        log.info("no crops: with features.alignment window, no frames are stored between the windows")
    if settings.background_probability:
        found = background_windows(table)
        if not len(found):
            log.info("the training split has no negative windows and no quiet ones, so no backgrounds are added")
            return windows
        negative = int((found["dropped"] == "").sum())
        log.info("backgrounds: %d negative windows and %d quiet ones", negative, len(found) - negative)
        backgrounds = WindowDataset.from_index(found, [], shards, frames, scaling, processes)
        windows = dataclasses.replace(windows, backgrounds=backgrounds)
    return windows


def crop_room(used: pd.DataFrame, front_end: MelSettings, seconds: float) -> NDArray[np.int64]:
    """Return by how many frames each window can be shifted to an earlier start, and to a later one; shape (windows, 2).

    Args:
        used: windows in use, columns start, earliest, latest (samples).
        front_end: mel settings of the shards.
        seconds: largest shift.

    Raises:
        AutobirdError: the frames of the windows were computed separately, so that there are none between them.
    """
    if front_end.alignment == "window":
        raise AutobirdError(
            f"train.crop_seconds is {seconds:g}, but features.alignment is window, so that no frames are stored between the windows; set "
            "train.crop_seconds to 0, or features.alignment to recording"
        )
    start, earliest, latest = (used[name].to_numpy(np.int64) for name in ("start", "earliest", "latest"))
    # Rounded down, so that the frames stay within those of the windows that begin at `earliest` and `latest`.
    samples = np.stack([start - earliest, latest - start], axis=1)
    return np.minimum(samples, int(seconds * front_end.sample_rate)) // front_end.hop_length


def background_windows(index: pd.DataFrame) -> pd.DataFrame:
    """Return the windows of the training split that can be backgrounds: negative ones, and those that are too quiet to be used.

    A window of another split is none, and neither is one of a recording that is like recordings of several splits. A quiet window may hold
    species faintly. It is none if an annotation or a review says that it does, or could, or if no window of its recording is loud enough
    to be used, so that its sound may be all there is of its species.

    Args:
        index: all windows (`INDEX`).
    """
    between = index.loc[index["dropped"] == BETWEEN, "recording"].unique()
    train = (index["split"] == "train") & ~index["recording"].isin(between)
    negative = (index["dropped"] == "") & index["negative"]
    quiet = index["dropped"].str.startswith(TOO_QUIET) & (index["rms"] >= _DIGITAL_SILENCE)
    in_use = index["recording"].isin(index.loc[index["dropped"] == "", "recording"])
    labels = pd.Series([(*p, "", *u) for p, u in zip(index["present"], index["unknown"], strict=True)], index.index)
    labels_differ = labels.groupby(index["recording"]).transform("nunique") > 1
    named = index["present"].map(len).add(index["unknown"].map(len)) > 0
    return index[train & (negative | quiet & (~named | in_use & ~labels_differ))]
