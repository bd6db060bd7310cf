"""The JSON answer of one recording."""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autobird.predict.classifier import Classifier, Prediction
from autobird.predict.origin import Place
from autobird.serving.compute.requests import TaskOptions

SCHEMA = "autobird/answer/1"
"""Name and version of the format of the answer; the version changes when a key is removed or gets another meaning."""

TOP = 5
"""Default number of most probable species in the answer, for the recording and for each window."""

_MAX_COLUMNS = 1600
"""Largest number of columns of the spectrogram: about the width of a screen in pixels."""

_UPPER_BAND = 0.8
"""A recording without sound above this share of the frequencies that the model uses lacks the upper band. Sampling rates of 8, 11.025
and 12 kHz do, with bands up to 8 kHz; the filters of lossy codecs at usual bit rates do not."""

_CLIPPED = 0.001
"""Share of clipped samples from which the answer has a warning."""


def response_body(
    classifier: Classifier, prediction: Prediction, options: TaskOptions, place: Place, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the body of the response as JSON values.

    Args:
        classifier: the classifier that made the prediction.
        prediction: probabilities and detections of the recording.
        options: what the answer contains.
        place: where and when the recording was made, as far as its name and header say it.
        notes: further warnings.
    """
    bundle, unknown = classifier.bundle, prediction.recording_unknown
    top = TOP if options.top_k is None else options.top_k or len(bundle.labels)
    is_classified = bool(prediction.recording.any())
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "model": {"name": bundle.name, "variant": bundle.variant, "fingerprint": bundle.fingerprint},
        "duration": round(prediction.duration, 3),
        "note": prediction.note,
        "species": _top_species(classifier, prediction.recording, top) if is_classified else [],
        "unknown_score": None if unknown is None else round(unknown, 4),
        "detections": [
            {
                "start": d.start,
                "end": d.end,
                "species": d.species,
                "probability": round(d.probability, 4),
                "unknown_score": None if d.unknown_score is None else round(d.unknown_score, 4),
            }
            for d in classifier.detections(prediction)
        ],
        "windows": _windows(classifier, prediction, top) if options.windows else [],
        "audio": _audio(classifier, prediction),
        "warnings": [*_warnings(classifier, prediction), *notes],
        "recording": {"site": place.site, "recorder": place.recorder, "recorded_at": place.recorded_at},
    }
    thresholds = dict(zip(bundle.labels, bundle.thresholds.tolist(), strict=True))
    body["thresholds"] = {
        name: thresholds[name] if math.isfinite(thresholds[name]) else None for name in named_species(body)
    }
    if options.top_k == 0:
        values = prediction.recording.tolist() if is_classified else []
        body["probabilities"] = {name: round(p, 4) for name, p in zip(bundle.labels, values, strict=False)}
    if options.spectrogram:
        body["spectrogram"] = _spectrogram(classifier, prediction)
    return body


def named_species(body: Mapping[str, Any]) -> list[str]:
    """Return the species that an answer names, each once."""
    entries = [*body["species"], *body["detections"], *(s for w in body["windows"] for s in w["species"])]
    return list(dict.fromkeys(entry["species"] for entry in entries))


def _windows(classifier: Classifier, prediction: Prediction, top: int) -> list[dict[str, Any]]:
    window = classifier.bundle.features.window
    of_windows = [None] * len(prediction.starts) if prediction.unknown is None else prediction.unknown.round(4).tolist()
    return [
        {
            "start": float(start),
            "end": round(min(float(start) + window, prediction.duration), 3),
            "quiet": bool(quiet),
            "species": _top_species(classifier, p, top),
            "unknown_score": unknown_score,
        }
        for start, quiet, p, unknown_score in zip(
            prediction.starts, prediction.quiet, prediction.probabilities, of_windows, strict=True
        )
    ]


def _top_species(classifier: Classifier, probabilities: Any, top: int) -> list[dict[str, Any]]:
    order = np.argsort(-np.asarray(probabilities), kind="stable")[:top]
    return [{"species": classifier.labels[i], "probability": round(float(probabilities[i]), 4)} for i in order]


def _audio(classifier: Classifier, prediction: Prediction) -> dict[str, Any]:
    sound = prediction.sound
    assert sound is not None
    return {
        "format": prediction.codec,
        "sample_rate": prediction.sample_rate,
        "channels": prediction.channels,
        "level_dbfs": _decibels(sound.rms),
        "peak_dbfs": _decibels(sound.peak),
        "clipped_share": round(sound.clipped_share, 6),
        "bandwidth_hz": None if sound.bandwidth is None else round(sound.bandwidth),
        "upper_band_missing": _upper_band_is_missing(classifier, prediction),
    }


def _upper_band_is_missing(classifier: Classifier, prediction: Prediction) -> bool:
    bandwidth = prediction.sound.bandwidth if prediction.sound else None
    return bandwidth is not None and bandwidth < _UPPER_BAND * classifier.bundle.features.fmax


def _warnings(classifier: Classifier, prediction: Prediction) -> list[str]:
    warnings = [prediction.note] if prediction.note else []
    if prediction.quiet.all():
        warnings.append("the whole recording is quiet, so nothing is detected; check the gain and the microphone")
    sound = prediction.sound
    if sound and sound.bandwidth and _upper_band_is_missing(classifier, prediction):
        warnings.append(
            f"the upper band is missing: there is no sound above {sound.bandwidth / 1000:.1f} kHz, and the model uses "
            f"frequencies up to {classifier.bundle.features.fmax / 1000:g} kHz; species may be missed or confused"
        )
    if sound and sound.clipped_share >= _CLIPPED:
        warnings.append(
            f"{100 * sound.clipped_share:.1f} % of the samples are at full scale (clipped); record with a lower gain"
        )
    return warnings


def _decibels(level: float) -> float | None:
    """Return a level relative to full scale, dB; None for silence, which would be minus infinity."""
    return round(20 * math.log10(level), 1) if level > 0 else None


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
