"""Embed the windows of a recording while it is decoded, in memory that does not depend on its length."""

import math

import numpy as np
from numpy.typing import NDArray

from autobird.audio.settings import WindowSettings
from autobird.backbone.base import Backbone, BackboneInfo
from autobird.core.errors import AutobirdError

_HELD_SECONDS = 300.0
"""Seconds of samples that are held before the first are embedded (29 MB at 48 kHz): a shorter recording is embedded when it is
completely decoded, so that no work is lost if it has to be decoded again (see `audio.decode.decode_into`)."""

_BLOCK_SECONDS = 30.0
"""Seconds of samples that are embedded at a time after that."""


class WindowGrid:
    """Positions of the windows of a run, and of the backbone's windows in them, in samples at the backbone's rate.

    A window that is not longer than the backbone's window holds one backbone window, which is padded with zeros. A longer one holds
    as few as cover it, spread evenly from its start to its end.

    Args:
        settings: windows of the run, at the sampling rate of the features.
        info: of the backbone.

    Attributes:
        length: samples of a window of the run.
        taken: samples of a backbone window that are sound; the rest are zeros.
        offsets: starts of the backbone windows, from the start of the window of the run.
    """

    def __init__(self, settings: WindowSettings, info: BackboneInfo) -> None:
        self._settings, self._rate = settings, info.sample_rate
        self.length = self._at_backbone_rate(settings.window_samples)
        self.taken = min(self.length, info.window_samples)
        count = math.ceil((self.length - self.taken) / info.window_samples) + 1
        self.offsets = [round(k * (self.length - self.taken) / max(1, count - 1)) for k in range(count)]

    def start(self, window: int) -> int:
        """Return the first sample of a window of the run by its number."""
        return self._at_backbone_rate(window * self._settings.hop_samples)

    def _at_backbone_rate(self, samples: int) -> int:
        return (2 * samples * self._rate + self._settings.sample_rate) // (2 * self._settings.sample_rate)


class EmbeddingStream:
    """Consumer of the samples of one decode attempt, at the backbone's sampling rate: computes the embeddings of the windows.

    The embedding of a window is the mean of the embeddings of the backbone windows in it (see `WindowGrid`). Backbone windows that
    begin after the end of the recording are left out, unless there is no other. One that several windows share is computed once.
    The values do not depend on the sizes of the blocks of samples.

    Args:
        backbone: computes the embeddings.
        settings: windows of the run, at the sampling rate of the features.
    """

    def __init__(self, backbone: Backbone, settings: WindowSettings) -> None:
        self._backbone, self._grid = backbone, WindowGrid(settings, backbone.info)
        self._limit = int(_HELD_SECONDS * backbone.info.sample_rate)
        self._waiting: list[NDArray[np.int16]] = []
        self._waiting_samples = 0
        """Samples that are not processed yet, and their number; they are processed if there are more than `_limit`."""
        self._held = np.zeros(0, np.int16)
        self._held_from = 0
        """Samples from the start of the next window on, and the position of the first."""
        self._known: dict[int, NDArray[np.float32]] = {}
        """Embeddings of backbone windows that further windows may share, by their first sample."""
        self._embeddings: list[NDArray[np.float16]] = []
        self._taken = 0
        """Embeddings that were not taken yet, and the number of those that were."""

    @property
    def samples(self) -> int:
        """Number of samples that were added."""
        return self._held_from + len(self._held) + self._waiting_samples

    def add(self, samples: NDArray[np.int16]) -> None:
        """Process the next samples."""
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        if self._waiting_samples > self._limit:
            self._process_waiting()
            self._limit = int(_BLOCK_SECONDS * self._backbone.info.sample_rate)

    def take(self) -> NDArray[np.float16]:
        """Return the embeddings that are complete and were not returned yet, which bounds the memory for a long recording.

        Shape, type and errors are those of `finish`.
        """
        out = np.array(self._embeddings, np.float16).reshape(-1, self._backbone.info.width)
        self._taken += len(out)
        self._embeddings = []
        if not np.isfinite(out).all():
            raise AutobirdError(
                f"backbone {self._backbone.info.name}: a value of its embeddings is not finite, or above 65504, the largest value of "
                "float16; check backbone.output, backbone.sample_rate and backbone.peak"
            )
        return out

    def finish(self, windows: int) -> NDArray[np.float16]:
        """Process the end of the recording; call it once, after the last `add`.

        Args:
            windows: number of windows of the recording; it is counted at the sampling rate of the features.

        Returns:
            Embeddings of all windows that were not taken, shape (windows, width), float16 as they are stored for training.

        Raises:
            AutobirdError: an embedding is not finite, or too large for float16.
        """
        self._process_waiting()
        self._embed(windows - self._number)
        self._embeddings = self._embeddings[: windows - self._taken]
        return self.take()

    @property
    def _number(self) -> int:
        """Number of windows that are embedded."""
        return self._taken + len(self._embeddings)

    def _process_waiting(self) -> None:
        self._held = np.concatenate([self._held, *self._waiting])
        self._waiting, self._waiting_samples = [], 0
        count, end = 0, self._held_from + len(self._held)
        while self._grid.start(self._number + count) + self._grid.length <= end:
            count += 1
        self._embed(count)

    def _embed(self, count: int) -> None:
        """Embed the next windows; samples beyond those that were added count as the end of the recording."""
        while count > 0:
            size = min(count, max(1, self._backbone.block // len(self._grid.offsets)))
            self._embed_next(size)
            count -= size

    def _embed_next(self, count: int) -> None:
        """Embed the next windows, whose backbone windows the backbone gets together."""
        number, end = self._number, self._held_from + len(self._held)
        parts = []
        for start in (self._grid.start(number + n) for n in range(count)):
            parts.append([start + offset for offset in self._grid.offsets if offset == 0 or start + offset < end])
        missing = sorted({at for starts in parts for at in starts if at not in self._known})
        if missing:
            self._known |= zip(missing, self._backbone.embed(self._windows_at(missing)), strict=True)
        with np.errstate(over="ignore"):
            for starts in parts:
                self._embeddings.append(np.mean([self._known[at] for at in starts], axis=0).astype(np.float16))
        following = self._grid.start(number + count)
        self._known = {at: embedding for at, embedding in self._known.items() if at >= following}
        unused = min(following - self._held_from, len(self._held))
        self._held, self._held_from = self._held[unused:], self._held_from + unused

    def _windows_at(self, starts: list[int]) -> NDArray[np.float32]:
        out = np.zeros((len(starts), self._backbone.info.window_samples), np.float32)
        for row, start in zip(out, starts, strict=True):
            found = self._held[start - self._held_from :][: self._grid.taken]
            np.multiply(found, np.float32(1 / 32768), out=row[: len(found)])
        return out
