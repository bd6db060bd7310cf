"""The JSON response of `/v1/predict`."""

import base64
from typing import Any

import numpy as np

from autobird.predict.classifier import Classifier, Prediction

_TOP = 5
"""Number of most probable species in the response, for the recording and for each window."""

_MAX_COLUMNS = 1600
"""Largest number of columns of the spectrogram: about the width of a screen in pixels."""


def response_body(classifier: Classifier, prediction: Prediction, spectrogram: bool) -> dict[str, Any]:
    """Return the body of the response as JSON values.

    Args:
        classifier: the classifier that made the prediction.
        prediction: probabilities and detections of the recording.
        spectrogram: whether to include the spectrogram.
    """
    window, unknown = classifier.bundle.features.window, prediction.recording_unknown
    of_windows = [None] * len(prediction.starts) if prediction.unknown is None else prediction.unknown.round(4).tolist()
    body: dict[str, Any] = {
        "model": {"name": classifier.bundle.name, "fingerprint": classifier.bundle.fingerprint},
        "duration": round(prediction.duration, 3),
        "note": prediction.note,
        "species": _top_species(classifier, prediction.recording) if prediction.recording.any() else [],
        "unknown_score": None if unknown is None else round(unknown, 4),
        "detections": [
            {"start": d.start, "end": d.end, "species": d.species, "probability": round(d.probability, 4)}
            for d in classifier.detections(prediction)
        ],
        "windows": [
            {
                "start": float(start),
                "end": round(min(float(start) + window, prediction.duration), 3),
                "quiet": bool(quiet),
                "species": _top_species(classifier, p),
                "unknown_score": unknown_score,
            }
            for start, quiet, p, unknown_score in zip(
                prediction.starts, prediction.quiet, prediction.probabilities, of_windows, strict=True
            )
        ],
    }
    if spectrogram:
        body["spectrogram"] = _spectrogram(classifier, prediction)
    return body


def _top_species(classifier: Classifier, probabilities: Any) -> list[dict[str, Any]]:
    order = np.argsort(-np.asarray(probabilities), kind="stable")[:_TOP]
    return [{"species": classifier.labels[i], "probability": round(float(probabilities[i]), 4)} for i in order]


def _spectrogram(classifier: Classifier, prediction: Prediction) -> dict[str, Any]:
    """Return the mel frames as an 8-bit image, row by row from the lowest band.

    0 is the 1st percentile of all cells, 255 the 99.5th. Long recordings are reduced to `_MAX_COLUMNS` columns by taking
    maxima.
    """
    s = classifier.bundle.features
    frames = prediction.frames[: int(prediction.duration * s.sample_rate / s.hop_length) + 1]
    if s.alignment == "window":
        frames = np.concatenate(
            [prediction.frames[f : f + s.hop_samples // s.hop_length] for f in prediction.first_frames]
        )
    step = -(-len(frames) // _MAX_COLUMNS)
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
