"""Read the sound that `autobird similar` looks for: a clip, or the loudest part of it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.audio.decode import decode
from autobird.backbone.base import Backbone
from autobird.backbone.stream import EmbeddingStream
from autobird.core.blas import one_blas_thread
from autobird.core.errors import AutobirdError
from autobird.core.walk import printable
from autobird.predict.bundle import Bundle

_STEP = 0.1
"""Distance of the windows of a clip of which the loudest is searched, seconds."""

_LONGEST_CLIP = 1800.0
"""Longest clip in which the loudest window is searched, seconds: 170 MB of samples at 48 kHz."""


class Clip(NamedTuple):
    """The part of the clip that is searched for: its samples, shape (n,), and its start and end in the clip, seconds."""

    samples: NDArray[np.int16]
    start: float
    end: float


def read_clip(clip: Path, at: float | None, window: float, rate: int) -> Clip:
    """Return the part of a clip that is searched for: the whole clip if it is not longer than a window, else one of its windows.

    Args:
        clip: a recording.
        at: start of the window, seconds; None: the loudest window (see `loudest`).
        window: length of a window, seconds.
        rate: sampling rate of the samples, Hz.

    Raises:
        AutobirdError: the clip cannot be used.
    """
    span = (0.0, float("inf")) if at is None else (at, at + window)
    try:
        with one_blas_thread():
            samples = decode(clip, rate, _LONGEST_CLIP, span)
    except UnusableAudio as error:
        hint = "; give --at SECONDS" if isinstance(error, TooLong) else f" (--at {at:g})" if at else ""
        raise AutobirdError(f"{printable(str(clip))}: {error}{hint}") from error
    if not len(samples):
        raise AutobirdError(f"{printable(str(clip))} has no audio at {at or 0:g} s; give another --at")
    length = round(window * rate)
    first = loudest(samples, length, round(_STEP * rate))
    part = samples[first : first + length]
    start = (at or 0.0) + first / rate
    return Clip(part, start, start + len(part) / rate)


def embed_clip(backbone: Backbone, bundle: Bundle, clip: Clip) -> NDArray[np.float32]:
    """Return the embedding of a clip; shape (width,)."""
    stream = EmbeddingStream(backbone, bundle.features)
    stream.add(clip.samples)
    with one_blas_thread():
        return stream.finish(1)[0].astype(np.float32)


def loudest(samples: NDArray[np.int16], length: int, step: int) -> int:
    """Return the first sample of the loudest of the parts of a length that start every `step` samples; 0 if there is only one.

    The level is that of the differences of consecutive samples, which attenuates wind and traffic.
    """
    if len(samples) <= length:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(np.square(np.diff(samples.astype(np.float64), prepend=samples[0])))])
    starts = np.arange(0, len(samples) - length + 1, step)
    return int(starts[np.argmax(energy[starts + length] - energy[starts])])
