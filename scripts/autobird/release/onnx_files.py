"""Write networks as reproducible ONNX files, and count their multiply-adds."""

import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from autobird.core.files import atomic
from autobird.core.multiply_adds import graph_multiply_adds
from autobird.predict.graph import EMBEDDING, INPUT

OUTPUT = "logits"
"""Name of the graph's output, shape (windows, species), float32."""

OPSET = 17
"""Version of the ONNX operator set; ONNX Runtime supports it since version 1.13."""


def export(network: nn.Module, mels: int, frames: int, path: Path) -> None:
    """Write a network as ONNX, with batch normalisation folded into the convolutions.

    Args:
        network: takes mel frames of shape (windows, 1, mels, frames) and returns logits of shape (windows, species).
        mels: number of mel bands.
        frames: number of frames per window.
        path: file to write.
    """
    _export(network, torch.zeros(2, 1, mels, frames), INPUT, path)


def export_head(network: nn.Module, width: int, path: Path) -> None:
    """Write a head as ONNX.

    Args:
        network: takes embeddings of shape (windows, width) and returns logits of shape (windows, species).
        width: number of values of an embedding.
        path: file to write.
    """
    _export(network, torch.zeros(2, width), EMBEDDING, path)


def _export(network: nn.Module, sample: torch.Tensor, name: str, path: Path) -> None:
    """Write a network as ONNX.

    The file holds no paths of this machine, and equal networks give equal bytes. The older exporter of torch is used on
    purpose: the newer one writes absolute paths of the source code into the file.

    Args:
        network: takes input like `sample` and returns logits of shape (windows, species).
        sample: an input of two windows.
        name: name of the input.
        path: file to write.
    """
    network = network.eval().float()
    with atomic(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (sample,),
                str(temporary),
                input_names=[name],
                output_names=[OUTPUT],
                dynamic_axes={name: {0: "windows"}, OUTPUT: {0: "windows"}},
                opset_version=OPSET,
                dynamo=False,
            )
        model = onnx.load(temporary)
        for node in model.graph.node:
            node.doc_string = ""
        onnx.checker.check_model(model)
        temporary.write_bytes(serialise(model))


def serialise(model: onnx.ModelProto) -> bytes:
    """Return the bytes of an ONNX model: equal for equal models, and without the version of the exporter."""
    model.producer_name, model.producer_version = "autobird", ""
    return bytes(model.SerializeToString(deterministic=True))


def multiply_adds(path: Path) -> int:
    """Return the number of multiply-adds of all convolutions and matrix products for one window.

    Raises:
        ValueError: they cannot be counted.
    """
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    found = graph_multiply_adds(model)
    if found is None:
        raise ValueError(f"{path}: a shape is not fixed, or an operator is not counted")
    return found
