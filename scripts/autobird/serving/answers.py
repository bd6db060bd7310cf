"""A prediction as the JSON that the server answers."""

import base64
from typing import Any

import numpy as np

from autobird.predict.classifier import Classifier, Prediction

_TOP = 5
"""Species listed for a window, and for the recording."""

_COLUMNS = 1600
"""Most columns of the spectrogram: what a screen shows."""


def answer(classifier: Classifier, prediction: Prediction, spectrogram: bool) -> dict[str, Any]:
    """Everything about a recording."""
    window = classifier.bundle.features.window
    out: dict[str, Any] = {
        "model": {"name": classifier.bundle.name, "fingerprint": classifier.bundle.fingerprint},
        "duration": round(prediction.duration, 3),
        "species": _top(classifier, prediction.recording) if prediction.recording.any() else [],
        "detections": [
            {"start": d.start, "end": d.end, "species": d.species, "probability": round(d.probability, 4)}
            for d in classifier.detections(prediction)
        ],
        "windows": [
            {
                "start": float(start),
                "end": round(min(float(start) + window, prediction.duration), 3),
                "quiet": bool(quiet),
                "species": _top(classifier, p),
            }
            for start, quiet, p in zip(prediction.starts, prediction.quiet, prediction.probabilities, strict=True)
        ],
    }
    if spectrogram:
        out["spectrogram"] = _spectrogram(classifier, prediction)
    return out


def _top(classifier: Classifier, probabilities: Any) -> list[dict[str, Any]]:
    order = np.argsort(-np.asarray(probabilities), kind="stable")[:_TOP]
    return [{"species": classifier.labels[i], "probability": round(float(probabilities[i]), 4)} for i in order]


def _spectrogram(classifier: Classifier, prediction: Prediction) -> dict[str, Any]:
    """Log-mel as bytes: row by row from the lowest band, 0 the quietest and 255 the loudest per cent of the cells."""
    s = classifier.bundle.features
    frames = prediction.frames[: int(prediction.duration * s.sample_rate / s.hop_length) + 1]
    if s.alignment == "window":
        frames = np.concatenate(
            [prediction.frames[f : f + s.hop_samples // s.hop_length] for f in prediction.first_frames]
        )
    step = -(-len(frames) // _COLUMNS)
    edges = np.arange(0, len(frames), step)
    columns = np.maximum.reduceat(frames, edges, axis=0)
    low, high = np.percentile(columns, [1, 99.5])
    scaled = np.clip((columns - low) / max(1e-6, high - low), 0, 1)
    data = np.rint(255 * scaled.T).astype(np.uint8)
    return {
        "bands": data.shape[0],
        "columns": data.shape[1],
        "fmin": s.fmin,
        "fmax": s.fmax,
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
    }
