"""From channels to mono: their mean, but for channels that are dead, or that cancel each other."""

import numpy as np
from numpy.typing import NDArray

_DEAD = 1e-3
"""A channel with less than this share of the loudest one's power (-30 dB) is dead."""

_CANCELS = 0.05
"""Where the mean of the channels has less than this share of their power (-13 dB), they cancel: their correlation is
below -0.9. Two channels of independent noise leave a half, equal ones leave all."""

_EVERY = 32
"""One frame in so many is enough to know the channels by, each at a random place among them: a tone may be zero at
regular ones."""


class Mix:
    """The mean of a file's channels, block by block; afterwards `better` says whether some should be left out."""

    def __init__(self, channels: int, chosen: tuple[int, ...] | None = None) -> None:
        used = list(range(channels) if chosen is None else chosen)
        self._channels = channels
        self._weights = np.zeros(channels, np.float32)
        self._weights[used] = 1 / len(used)
        self._products = np.zeros((channels, channels))
        self._mono = np.empty(0, np.float32)
        self._some = np.zeros(0, np.intp)

    def __call__(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mono samples of a block of shape (frames, channels); overwritten by the next call. Shape (frames,)."""
        if self._channels == 1:
            return block[:, 0]
        if len(self._mono) < len(block):
            self._mono = np.empty(len(block), np.float32)
            self._some = np.arange(0, len(block), _EVERY)
            self._some += np.random.default_rng(0).integers(0, _EVERY, len(self._some))
        some = block[self._some[: np.searchsorted(self._some, len(block))]]
        self._products += some.T @ some
        # A product with a vector: numpy's mean over a short last axis takes 35 times as long.
        return np.matmul(block, self._weights, out=self._mono[: len(block)])

    def better(self) -> tuple[tuple[int, ...] | None, str]:
        """The channels to use instead of all, and why; None where their mean is right."""
        power = np.diag(self._products)
        live = np.flatnonzero(power > _DEAD * power.max(initial=0))
        if len(live) > 1:
            mean = self._products[np.ix_(live, live)].sum() / len(live) ** 2
            if mean < _CANCELS * power[live].mean():
                loudest = int(np.argmax(power))
                return (loudest,), f"its channels cancel each other; only channel {loudest + 1} is used"
        if 0 < len(live) < self._channels:
            dead = ", ".join(str(c + 1) for c in range(self._channels) if c not in live)
            return tuple(map(int, live)), f"channel {dead} of {self._channels} is dead and left out"
        return None, ""
