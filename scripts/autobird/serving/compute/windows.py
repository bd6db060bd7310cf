"""How many windows the backbone computes for a recording: the measure of the work for a bundle with a backbone."""

import math
from pathlib import Path

from autobird.serving.compute.requests import ServedBundle, Task
from autobird.serving.jobs.length import declared_seconds

_BYTES_PER_SECOND = 16_000
"""Of a compressed recording whose header does not state its length: 128 kbit/s."""


def backbone_windows(bundle: ServedBundle, seconds: float, overlap: float | None = None) -> int:
    """Return the number of windows that the backbone computes for some seconds of audio, at most; 0 without a backbone.

    Args:
        bundle: the bundle.
        seconds: length of the recording.
        overlap: overlap of consecutive windows, seconds; None: that of the bundle.
    """
    if bundle.backbone is None:
        return 0
    window, embedded = bundle.features["window"], bundle.backbone["window"]
    hop = bundle.features["hop"] if overlap is None else window - overlap
    parts = 1 + max(0, math.ceil((window - embedded) / embedded))
    # An overlap that is not possible is refused before anything is computed.
    return parts * max(1, math.ceil(seconds / hop)) if hop > 0 else parts


def estimated_windows(bundle: ServedBundle, task: Task) -> int:
    """Return `backbone_windows` of a task from the length in its header, or its size."""
    if bundle.backbone is None:
        return 0
    o, source = task.options, task.source
    seconds = declared_seconds(source)
    if seconds is None:
        try:
            size = source.stat().st_size if isinstance(source, Path) else len(source)
        except OSError:
            size = 0
        seconds = size / _BYTES_PER_SECOND
    return backbone_windows(bundle, seconds if o.max_seconds is None else min(seconds, o.max_seconds), o.overlap)
