"""What drift is measured against: features of the training recordings, and the model's answers on validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.settings import MelSettings
from autobird.drift.monitor import AUDIO_FEATURES, MODEL_FEATURES, features
from autobird.predict.answers import softmax

DIGITS = 5
"""Decimals of the features in the bundle: enough for ranks, and the same on every machine."""


def recording_features(
    index: pd.DataFrame,
    predictions: pd.DataFrame,
    shards: Sequence[NDArray[np.float16]],
    settings: MelSettings,
    temperature: float,
) -> pd.DataFrame:
    """Features of the windows of each recording; those of the model are NaN where there are no predictions.

    Args:
        index: windows that the product answers for (`windows_to_predict`).
        predictions: logits of some of them (`PREDICTIONS`).
        shards: log-mel frames by batch.
        settings: the front end.
        temperature: divisor of the logits.
    """
    rows: list[dict[str, Any]] = []
    by_recording = dict(iter(predictions.groupby("recording")["logits"]))
    for name, part in index.groupby("recording", sort=True):
        logits = by_recording.get(name)
        p = np.ones((1, 1)) if logits is None else softmax(np.stack(logits.to_list()).astype(np.float64) / temperature)
        frames, firsts = shards[part["shard"].iloc[0]], part["first_frame"].to_numpy()
        found: dict[str, Any] = features(frames, firsts, part["rms"].to_numpy(), p, settings)
        if logits is None:
            found |= dict.fromkeys(MODEL_FEATURES, np.nan)
        rows.append({"recording": name, "group": part["group"].iloc[0], "split": part["split"].iloc[0], **found})
    return pd.DataFrame(rows)


def reference(table: pd.DataFrame) -> dict[str, Any]:
    """The two references of a bundle as JSON values.

    Audio comes from training. What the model answers comes from validation: on recordings that it learnt from it is
    surer than it will ever be again.
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
