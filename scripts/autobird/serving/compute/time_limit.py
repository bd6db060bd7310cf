"""The time that a compute process may take for a recording."""

import math

from autobird.serving.compute.requests import ServedBundle

_LEAST_TIME_LIMIT, _MAX_TIME_LIMIT = 120.0, 86_400.0
"""Limits of the time for one recording, seconds."""

_TIME_PER_SECOND = 0.02
"""Seconds of computing for each second of audio, several times what a slow core takes."""

_TIME_PER_BACKBONE_WINDOW = 0.3
"""Additional seconds for each window that the backbone computes. BirdNET takes 0.035 to 0.075 on a core of 2020; a slow core that all
processes share takes several times as long."""


def time_limit(bundle: ServedBundle, max_seconds: float | None) -> float:
    """Return the time that a process may take for a recording, seconds: several times what it takes on a slow, busy core.

    Args:
        bundle: the bundle.
        max_seconds: longest recording, seconds of decoded audio; None: any.
    """
    if max_seconds is None:
        return _MAX_TIME_LIMIT
    limit = _LEAST_TIME_LIMIT + max_seconds * _TIME_PER_SECOND
    if bundle.backbone:
        window, hop, embedded = bundle.features["window"], bundle.features["hop"], bundle.backbone["window"]
        parts = 1 + max(0, math.ceil((window - embedded) / embedded))
        limit += max_seconds * parts / hop * _TIME_PER_BACKBONE_WINDOW
    return float(min(limit, _MAX_TIME_LIMIT))
