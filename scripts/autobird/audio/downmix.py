"""Downmix channels to mono: their mean, without channels that are silent or cancel each other."""

import numpy as np
from numpy.typing import NDArray

_SILENT_SHARE = 1e-3
"""A channel with less than this share of the loudest channel's power (-30 dB) is silent."""

_CANCELLED_SHARE = 0.05
"""Channels cancel each other if their mean has less than this share of their mean power (-13 dB): their correlation is
below -0.9. Two channels of independent noise keep half of the power, identical channels keep all of it."""

_SAMPLED_EVERY = 32
"""The power of the channels is estimated from one of this many frames. Its position is random, because a tone may be zero
at regular distances."""


class Downmix:
    """Mean of the channels, block by block; after the last block `better_selection` says whether to leave some out.

    Args:
        channels: number of channels of the file.
        selected: channels to use, counted from 0; None for all.
    """

    def __init__(self, channels: int, selected: tuple[int, ...] | None = None) -> None:
        used = list(range(channels) if selected is None else selected)
        self._channels = channels
        self._weights = np.zeros(channels, np.float32)
        self._weights[used] = 1 / len(used)
        self._products = np.zeros((channels, channels))
        self._mono = np.empty(0, np.float32)
        self._sampled = np.zeros(0, np.intp)

    def __call__(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mono samples of a block of shape (frames, channels); the next call overwrites them."""
        if self._channels == 1:
            return block[:, 0]
        if len(self._mono) < len(block):
            self._mono = np.empty(len(block), np.float32)
            self._sampled = np.arange(0, len(block), _SAMPLED_EVERY)
            self._sampled += np.random.default_rng(0).integers(0, _SAMPLED_EVERY, len(self._sampled))
        sampled = block[self._sampled[: np.searchsorted(self._sampled, len(block))]]
        self._products += sampled.T @ sampled
        # numpy's mean over a short last axis takes 35 times as long as this product with a vector.
        return np.matmul(block, self._weights, out=self._mono[: len(block)])

    def better_selection(self) -> tuple[tuple[int, ...] | None, str]:
        """Return the channels to use instead of all, and the reason; (None, "") if the mean of all is right."""
        power = np.diag(self._products)
        audible = np.flatnonzero(power > _SILENT_SHARE * power.max(initial=0))
        if len(audible) > 1:
            mean = self._products[np.ix_(audible, audible)].sum() / len(audible) ** 2
            if mean < _CANCELLED_SHARE * power[audible].mean():
                loudest = int(np.argmax(power))
                return (loudest,), f"its channels cancel each other, so only channel {loudest + 1} is used"
        if 0 < len(audible) < self._channels:
            silent = ", ".join(str(c + 1) for c in range(self._channels) if c not in audible)
            return tuple(map(int, audible)), f"channel {silent} of {self._channels} is silent and left out"
        return None, ""
