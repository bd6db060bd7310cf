"""Networks as ONNX files: the same bytes each time, no paths inside; and their cost."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from autobird.core.files import atomic
from autobird.predict.graph import INPUT

OUTPUT = "logits"

OPSET = 17
"""ONNX opset: what ONNX Runtime has run since 1.13."""


def export(network: nn.Module, mels: int, frames: int, path: Path) -> None:
    """Write a network as ONNX, batch normalisation folded into the convolutions.

    The older exporter is used on purpose: the newer one writes absolute paths of the source into the file.
    """
    network = network.eval().float()
    sample = torch.zeros(2, 1, mels, frames)
    with atomic(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (sample,),
                str(temporary),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "windows"}, OUTPUT: {0: "windows"}},
                opset_version=OPSET,
                dynamo=False,
            )
        model = onnx.load(temporary)
        for node in model.graph.node:
            node.doc_string = ""
        onnx.checker.check_model(model)
        temporary.write_bytes(serialise(model))


def serialise(model: onnx.ModelProto) -> bytes:
    """A graph as the same bytes each time, without the exporter's version."""
    model.producer_name, model.producer_version = "autobird", ""
    return bytes(model.SerializeToString(deterministic=True))


def multiply_adds(path: Path) -> int:
    """Multiply-adds of convolutions and matrix products for one window, from the shapes in the graph."""
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model)
    graph = inferred.graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.value_info, *graph.input, *graph.output)
    }
    shapes |= {i.name: list(i.dims) for i in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            weight = _shape_behind(node.input[1], graph, shapes)
            # Per output value: the inputs of its group times the kernel.
            total += int(np.prod(shapes[node.output[0]])) * int(np.prod(weight[1:]))
        elif node.op_type in ("MatMul", "Gemm"):
            left = _shape_behind(node.input[0], graph, shapes)
            total += int(np.prod(shapes[node.output[0]])) * int(left[-1])
    return total


def _shape_behind(name: str, graph: Any, shapes: dict[str, list[int]]) -> list[int]:
    """The shape of a value, or of what is dequantised into it."""
    if name in shapes:
        return shapes[name]
    node = next(n for n in graph.node if name in n.output)
    return _shape_behind(node.input[0], graph, shapes)
