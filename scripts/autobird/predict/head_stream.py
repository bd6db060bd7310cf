"""Classify a recording by the embeddings of its windows while it is decoded, in memory that hardly depends on its length."""

import numpy as np
from numpy.typing import NDArray

from autobird.audio.mel import FrontEnd
from autobird.audio.settings import FeatureSettings
from autobird.backbone.base import Backbone
from autobird.backbone.stream import EmbeddingStream
from autobird.predict.graph import BATCH, Graph
from autobird.predict.stream import HELD_SECONDS, RecordingStream, WindowsOf


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
        self._embeddings = EmbeddingStream(backbone, settings)
        self._graph = graph
        self._waiting: list[NDArray[np.int16]] = []
        """Samples at the backbone's rate that are held before the first is embedded, as in `RecordingStream`."""
        self._held = int(HELD_SECONDS * backbone.info.sample_rate)
        self._new: list[NDArray[np.float16]] = []
        """Embeddings that are not classified yet."""
        self._logits: list[NDArray[np.float32]] = []

    @property
    def samples(self) -> int:
        """Number of samples that were added, at the sampling rate of the features."""
        return self._recording.samples

    def add(self, *samples: NDArray[np.int16]) -> None:
        """Process the next samples: those at the sampling rate of the features, and those at that of the backbone."""
        of_features, of_backbone = samples
        self._recording.add(of_features)
        self._waiting.append(of_backbone)
        self._held -= len(of_backbone)
        if self._held < 0:
            self._embed_waiting()

    def finish(self) -> WindowsOf:
        """Process the end of the recording; call it once, after the last `add`."""
        windows = self._recording.finish()
        self._embed_waiting()
        self._classify(self._embeddings.finish(len(windows.quiet)), is_end=True)
        logits = np.concatenate([*self._logits, np.zeros((0, self._graph.species), np.float32)])
        return windows._replace(logits=logits)

    def _embed_waiting(self) -> None:
        for samples in self._waiting:
            self._classify(self._embeddings.add(samples), is_end=False)
        self._waiting = []

    def _classify(self, embeddings: NDArray[np.float32], is_end: bool) -> None:
        """Classify in batches that start at multiples of `BATCH`, so that the values do not depend on the blocks of samples."""
        # The head was trained on embeddings stored as float16.
        self._new.append(embeddings.astype(np.float16))
        waiting = np.concatenate(self._new)
        count = len(waiting) if is_end else len(waiting) // BATCH * BATCH
        if count:
            self._logits.append(self._graph.logits(waiting[:count]))
        self._new = [waiting[count:]]
