"""The reference of the drift test: features of the training recordings, and model outputs on the validation recordings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.settings import MelSettings
from autobird.drift.features import AUDIO_FEATURES, MODEL_FEATURES, drift_features
from autobird.evaluation.predictions import QUIET_SPLITS
from autobird.predict.classification import Calibration

DIGITS = 5
"""Decimals of the stored features: enough to rank recordings, and free of rounding differences between machines."""


def drift_table(
    index: pd.DataFrame,
    predictions: pd.DataFrame,
    shards: Sequence[NDArray[np.float16]],
    settings: MelSettings,
    calibration: Calibration,
) -> pd.DataFrame:
    """Return the drift features of each recording; model features are NaN where there are no predictions.

    Args:
        index: windows to use (`windows_to_predict`).
        predictions: logits of some of these windows (`PREDICTIONS`).
        shards: mel frames of each batch; shape (frames, mels).
        settings: the front end.
        calibration: calibration of the network.

    Returns:
        one row per recording: recording, group, split, and the columns of `DRIFT_FEATURES`.
    """
    rows: list[dict[str, Any]] = []
    predicted = predictions[~predictions["split"].isin(list(QUIET_SPLITS.values()))]
    by_recording = dict(iter(predicted.groupby("recording")["logits"]))
    for name, part in index.groupby("recording", sort=True):
        logits = by_recording.get(name)
        p = np.ones((1, 1)) if logits is None else calibration.probabilities(np.stack(logits.to_list()))
        frames, firsts = shards[part["shard"].iloc[0]], part["first_frame"].to_numpy()
        values: dict[str, Any] = drift_features(
            frames, firsts, part["rms"].to_numpy(), p, settings, calibration.outputs
        )
        if logits is None:
            values |= dict.fromkeys(MODEL_FEATURES, np.nan)
        rows.append({"recording": name, "group": part["group"].iloc[0], "split": part["split"].iloc[0], **values})
    return pd.DataFrame(rows)


def drift_reference(table: pd.DataFrame) -> dict[str, Any]:
    """Return the content of `drift_reference.json`.

    The audio features come from training recordings. The model features come from validation recordings, because the
    model's confidence is higher on the recordings it was trained on than on any others.

    Args:
        table: result of `drift_table`.
    """
    out: dict[str, Any] = {}
    for name, split, columns in (("audio", "train", AUDIO_FEATURES), ("model", "validation", MODEL_FEATURES)):
        part = table[table["split"] == split]
        out[name] = {
            "features": list(columns),
            "values": part[list(columns)].round(DIGITS).to_numpy().tolist(),
            "groups": pd.factorize(part["group"])[0].tolist(),
        }
    return out
