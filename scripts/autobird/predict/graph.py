"""Run an ONNX model on windows of mel frames, or on embeddings of windows, on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError

INPUT = "log_mel"
"""Name of the model's input, shape (windows, 1, mels, frames), float32. The first output is the logits."""

EMBEDDING = "embedding"
"""Name of the input of a head, a model on the embeddings of a backbone; shape (windows, width), float32."""

BATCH = 16
"""Number of windows per call; the activations of larger batches do not fit into the CPU's cache."""


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open an ONNX file with ONNX Runtime on the CPU.

    Args:
        path: the ONNX file.
        threads: number of threads; idle threads sleep instead of spinning, because other processes use the CPU too.

    Raises:
        AutobirdError: the installed version of ONNX Runtime cannot load the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the errors of ONNX Runtime have no common base class
        raise AutobirdError(
            f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__} ({str(error).splitlines()[0]}); "
            "install the version of onnxruntime that the bundle was made with, or recreate the bundle"
        ) from error


class Graph:
    """An ONNX model that computes logits of windows, from their mel frames or (a head) from their embeddings.

    Args:
        path: the ONNX file.
        threads: number of CPU threads.

    Raises:
        AutobirdError: the installed version of ONNX Runtime cannot load the file.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._session = open_session(path, threads)
        self._input = str(self._session.get_inputs()[0].name)
        self.species = int(self._session.get_outputs()[0].shape[1])
        """Number of logits per window."""

    @property
    def is_head(self) -> bool:
        """Whether the input are embeddings of windows instead of mel frames."""
        return self._input == EMBEDDING

    def logits(self, windows: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the logits of windows; shape (windows, species).

        Args:
            windows: mel frames of shape (windows, frames, mels), or embeddings of shape (windows, width).
        """
        out = np.empty((len(windows), self.species), np.float32)
        for first in range(0, len(windows), BATCH):
            x = windows[first : first + BATCH].astype(np.float32)
            if x.ndim == 3:
                x = x.transpose(0, 2, 1)[:, None]
            out[first : first + BATCH] = self._session.run(None, {self._input: np.ascontiguousarray(x)})[0]
        return out
