"""Scale embeddings to length 1. A module of its own, so that networks do not depend on how heads are fitted."""

import numpy as np
from numpy.typing import NDArray

MIN_NORM = 1e-6
"""Smallest length of an embedding that is scaled to length 1; a shorter one (of digital silence, for example) stays near zero."""


def unit_length(embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return embeddings of shape (windows, width) divided by their Euclidean length."""
    x = embeddings.astype(np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), MIN_NORM)
