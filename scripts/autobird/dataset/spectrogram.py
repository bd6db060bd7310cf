"""Draw the mel spectrogram of a window."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobird.audio.mel_scale import band_centres
from autobird.audio.settings import MelSettings
from autobird.audio.windows import frames_per_window

_TICKS = (500, 1000, 2000, 4000, 8000, 16000)
"""Frequencies with a label, Hz."""


def draw_window(ax: Any, shard: NDArray[np.float16], first_frame: int, settings: MelSettings) -> None:
    """Draw a window on axes in seconds (x) and kHz (y, with the spacing of the mel scale), without the names of the axes.

    Args:
        ax: axes of matplotlib.
        shard: mel frames of a batch, shape (frames, mels).
        first_frame: first frame of the window.
        settings: the front end.
    """
    size = frames_per_window(settings.window_samples, settings.hop_length)
    frames = np.asarray(shard[first_frame : first_frame + size], np.float32)
    ax.imshow(frames.T, origin="lower", aspect="auto", cmap="magma", extent=(0, settings.window, 0, settings.mels))
    hertz = band_centres(settings)
    ticks = [f for f in _TICKS if hertz[0] < f < hertz[-1]]
    positions = [float(np.interp(f, hertz, np.arange(settings.mels) + 0.5)) for f in ticks]
    ax.set_yticks(positions, [f"{f / 1000:g}" for f in ticks])
    ax.spines[:].set_visible(False)
