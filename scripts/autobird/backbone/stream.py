"""TEMPORARY stand-in until wip/bb is merged: embeddings of windows from blocks of samples."""

import math

import numpy as np
from numpy.typing import NDArray

from autobird.audio.settings import WindowSettings
from autobird.backbone.base import Backbone


class EmbeddingStream:
    def __init__(self, backbone: Backbone, settings: WindowSettings) -> None:
        self._b, self._s = backbone, settings
        self._held, self._from = np.zeros(0, np.int16), 0
        self._done = 0
        self._cache: dict[int, NDArray[np.float32]] = {}

    def _starts(self, n: int) -> list[int]:
        i, s = self._b.info, self._s
        first = round(n * s.hop_samples * i.sample_rate / s.sample_rate)
        if s.window <= i.window:
            return [first]
        count = math.ceil((s.window - i.window) / i.window) + 1
        last = round(s.window * i.sample_rate) - i.window_samples
        return [first + round(k * last / (count - 1)) for k in range(count)]

    def add(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        self._held = np.concatenate([self._held, samples])
        return self._compute(None)

    def finish(self, windows: int) -> NDArray[np.float32]:
        return self._compute(windows)

    def _compute(self, windows: int | None) -> NDArray[np.float32]:
        out, size = [], self._b.info.window_samples
        end = self._from + len(self._held)
        while True:
            starts = self._starts(self._done)
            if windows is None and starts[-1] + size > end or windows is not None and self._done >= windows:
                break
            for at in starts:
                if at not in self._cache:
                    x = self._held[max(0, at - self._from) : max(0, at - self._from + size)]
                    x = np.pad(x, (0, size - len(x)))
                    self._cache[at] = self._b.embed((x / np.float32(32768)).astype(np.float32)[None])[0]
            out.append(np.mean([self._cache[at] for at in starts], axis=0))
            self._done += 1
            following = self._starts(self._done)[0]
            self._cache = {k: v for k, v in self._cache.items() if k >= following}
            drop = min(max(0, following - self._from), len(self._held))
            self._held, self._from = self._held[drop:], self._from + drop
        return np.array(out, np.float32).reshape(-1, self._b.info.width)
