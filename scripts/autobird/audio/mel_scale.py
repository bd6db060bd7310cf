"""The HTK mel scale: m = 2595 log10(1 + f / 700)."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from autobird.audio.settings import MelSettings


def band_edges(settings: MelSettings, dtype: DTypeLike = np.float64) -> NDArray[np.floating]:
    """Return the edges of the mel bands, Hz, equally spaced on the mel scale; shape (mels + 2,).

    Band b rises from edge b to edge b + 1, its centre, and falls to edge b + 2. The arithmetic is that of `dtype`.
    """
    low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (settings.fmin, settings.fmax))
    points = np.linspace(low, high, settings.mels + 2, dtype=dtype)
    edges: NDArray[np.floating] = 700.0 * (10.0 ** (points / 2595.0) - 1.0)
    return edges


def band_centres(settings: MelSettings) -> NDArray[np.floating]:
    """Return the centre of each mel band, Hz; shape (mels,)."""
    return band_edges(settings)[1:-1]
