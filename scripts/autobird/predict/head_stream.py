"""Classify a recording by the embeddings of its windows while it is decoded, in memory that hardly depends on its length."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from autobird.audio.audio_file import UnusableAudio
from autobird.audio.mel import FrontEnd
from autobird.audio.settings import FeatureSettings
from autobird.backbone.base import Backbone
from autobird.backbone.stream import EmbeddingStream
from autobird.core.errors import AutobirdError
from autobird.predict.graph import BATCH, Graph
from autobird.predict.stream import RecordingStream, WindowsOf


class HeadStream:
    """Consumer of the samples of one decode attempt at two sampling rates: levels and mel frames at that of the features, and
    logits from embeddings at that of the backbone.

    Args:
        front_end: converts the samples at the sampling rate of the features.
        backbone: computes the embeddings.
        graph: the head, which computes the logits of embeddings.
        settings: windows and filters of quiet windows.
        keep_frames: see `RecordingStream`.
    """

    def __init__(
        self, front_end: FrontEnd, backbone: Backbone, graph: Graph, settings: FeatureSettings, keep_frames: bool
    ) -> None:
        self._recording = RecordingStream(front_end, None, settings, keep_frames)
        self._stream = EmbeddingStream(backbone, settings)
        self._graph = graph
        self._embeddings = np.zeros((0, backbone.info.width), np.float16)
        """Embeddings that are not classified yet."""
        self._logits: list[NDArray[np.float32]] = []
        self._network_seconds = 0.0
        """Time of the backbone and of the head."""

    @property
    def samples(self) -> int:
        """Number of samples that were added, at the sampling rate of the features."""
        return self._recording.samples

    def add(self, samples: NDArray[np.int16], /, *at_other_rates: NDArray[np.int16]) -> None:
        """Process the next samples: those at the sampling rate of the features, and those at that of the backbone."""
        (at_backbone_rate,) = at_other_rates
        self._recording.add(samples)
        start = time.perf_counter()
        self._stream.add(at_backbone_rate)
        self._add_embeddings(self._stream.take)
        self._classify(len(self._embeddings) // BATCH * BATCH)
        self._network_seconds += time.perf_counter() - start

    def finish(self) -> WindowsOf:
        """Process the end of the recording; call it once, after the last `add`.

        Raises:
            UnusableAudio: an embedding is not finite.
        """
        windows = self._recording.finish()
        start = time.perf_counter()
        self._add_embeddings(lambda: self._stream.finish(len(windows.quiet)))
        self._classify(len(self._embeddings))
        self._network_seconds += time.perf_counter() - start
        logits = np.concatenate([*self._logits, np.zeros((0, self._graph.species), np.float32)])
        return windows._replace(logits=logits, seconds={**windows.seconds, "network": self._network_seconds})

    def _add_embeddings(self, take: Callable[[], NDArray[np.float16]]) -> None:
        try:
            self._embeddings = np.concatenate([self._embeddings, take()])
        except AutobirdError as error:
            raise UnusableAudio(str(error)) from error

    def _classify(self, count: int) -> None:
        """Classify the first embeddings, in batches that do not depend on the blocks of samples."""
        if count:
            self._logits.append(self._graph.logits(self._embeddings[:count]))
            self._embeddings = self._embeddings[count:]
