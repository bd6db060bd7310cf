"""The interface of all backbones: from samples to embeddings."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from autobird.core.settings import Settings

Samples = NDArray[np.float32]


class BackboneInfo(Settings):
    """What identifies a backbone; bundles and models store it as JSON (`model_dump`, `model_validate`).

    Attributes:
        name: name in the settings.
        sha256: checksum of its file.
        sample_rate: sampling rate of its input, Hz.
        window: length of its input, seconds.
        width: number of values of an embedding.
        licence: for example `CC BY-NC-SA 4.0`; "" in `model.json`, so that a corrected licence trains nothing again.
        source: where it comes from; "" as for `licence`.
        input: name of the input of its file; "" if the name says how the file is read.
        output: name of the output that is the embedding; "" as for `input`.
        peak: the largest absolute sample to which an input window is scaled; None for none.
    """

    name: str
    sha256: str
    sample_rate: int
    window: float
    width: int
    licence: str = ""
    source: str = ""
    input: str = ""
    output: str = ""
    peak: float | None = None

    @property
    def window_samples(self) -> int:
        """Length of an input window, samples."""
        return round(self.window * self.sample_rate)


class Backbone(ABC):
    """A pretrained network that turns windows of sound into embeddings.

    The embedding of a window does not depend on the other windows of a call, and not on the number of threads or processes.

    Attributes:
        info: what identifies it.
        size: size of its file, bytes.
        block: number of windows that `embed` is best given at a time; more need more memory.
        labels: names of its logits; empty if it has none. For BirdNET: `Scientific name_Common name`.
    """

    info: BackboneInfo
    size: int
    block: int = 1
    labels: tuple[str, ...] = ()

    @abstractmethod
    def embed(self, samples: Samples) -> NDArray[np.float32]:
        """Return the embeddings of windows.

        Args:
            samples: shape (n, info.window_samples), full scale = 1; n may be 0.

        Returns:
            Shape (n, info.width).
        """
        ...

    def multiply_adds(self) -> int | None:
        """Return the multiply-adds of an embedding: those of all convolutions and matrix products for one window.

        None if they cannot be counted: in a TFLite file, in a graph with other operators, and without the package `onnx`.
        """
        return None

    def logits(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the network's own logits for embeddings of shape (n, info.width); shape (n, len(labels))."""
        raise NotImplementedError(f"{self.info.name} has no logits")
