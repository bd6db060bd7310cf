"""Run an ONNX graph on windows of mel frames, on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError

INPUT = "log_mel"
"""Name of the graph's input, shape (windows, 1, mels, frames), float32; its first output is the logits."""

_BATCH = 16
"""Windows per call: larger batches leave the cache."""


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU with so many threads, which do not spin while they wait.

    Raises:
        AutobirdError: this version of ONNX Runtime cannot load the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        raise AutobirdError(
            f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__} ({str(error).splitlines()[0]}); "
            "install the version of onnxruntime that the bundle was made with, or make the bundle anew"
        ) from error


class Graph:
    """A graph that gives logits for windows.

    Args:
        path: the ONNX file.
        threads: CPU threads.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._session = session(path, threads)

    @property
    def species(self) -> int:
        """Number of logits of a window."""
        return int(self._session.get_outputs()[0].shape[1])

    def logits(self, windows: NDArray[np.floating]) -> NDArray[np.float32]:
        """Logits of windows of shape (windows, frames, mels); shape (windows, species)."""
        out = np.empty((len(windows), self.species), np.float32)
        for first in range(0, len(windows), _BATCH):
            x = windows[first : first + _BATCH].astype(np.float32).transpose(0, 2, 1)[:, None]
            out[first : first + _BATCH] = self._session.run(None, {INPUT: np.ascontiguousarray(x)})[0]
        return out
