"""BirdNET 2.4: where its file is, its embeddings, its logits and their labels."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.base import Backbone, BackboneInfo, Samples
from autobird.backbone.birdnet_files import LABELS, REMEDY, birdnet_files, check_birdnet_sha256
from autobird.backbone.birdnet_front_end import FrontEnd
from autobird.backbone.birdnet_graph import INPUT, OUTPUT, SHAPE, convert
from autobird.backbone.checks import read_checked
from autobird.backbone.file import onnx_session
from autobird.backbone.known import BIRDNET, BIRDNET_SHA256, Description
from autobird.backbone.tflite import TFLiteFile
from autobird.core.blas import one_blas_thread
from autobird.core.errors import AutobirdError
from autobird.core.multiply_adds import onnx_multiply_adds

_WIDTH = 1024


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
        data, digest = read_checked(model, sha256 or BIRDNET_SHA256, BIRDNET, file)
        check_birdnet_sha256(digest)
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
                f"backbone {BIRDNET}: the labels ({LABELS}) are not beside its file; install them: {REMEDY}"
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
