"""Networks as ONNX files: the same bytes each time, no paths inside; their cost; running them over windows."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from autobird.core.files import atomic
from autobird.model.data import Windows

INPUT, OUTPUT = "log_mel", "logits"

OPSET = 17
"""ONNX opset: what ONNX Runtime has run since 1.13."""

_BATCH = 16


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


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU with so many threads, which do not spin while they wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def logits(path: Path, windows: Windows, threads: int = 1) -> NDArray[np.float32]:
    """Logits of all windows, shape (windows, species)."""
    run = session(path, threads)
    parts = []
    for first in range(0, len(windows), _BATCH):
        x, _ = windows.take(np.arange(first, min(first + _BATCH, len(windows))))
        parts.append(run.run(None, {INPUT: np.ascontiguousarray(x.numpy())})[0])
    return np.concatenate(parts) if parts else np.zeros((0, run.get_outputs()[0].shape[1]), np.float32)


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
