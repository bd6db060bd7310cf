"""Count the multiply-adds of an ONNX graph: its cost, independent of the machine."""

import math
from importlib.util import find_spec
from typing import Any

_UNCOUNTED = frozenset(
    {
        "Attention", "ConvInteger", "ConvTranspose", "DFT", "DeformConv", "Einsum", "GRU", "If", "LSTM", "Loop", "MatMulInteger",
        "QLinearConv", "QLinearMatMul", "RNN", "STFT", "Scan",
    }
)  # fmt: skip
"""Operators with multiply-adds that are not counted."""


def onnx_multiply_adds(data: bytes, name: str, shape: tuple[int, ...], output: str) -> int | None:
    """Return the multiply-adds of an ONNX file for one input.

    Args:
        data: content of the file.
        name: name of the input.
        shape: its shape.
        output: count only what this output needs.

    Returns:
        The number; None if they cannot be counted, or the package `onnx` is not installed, which only training needs.
    """
    if find_spec("onnx") is None:
        return None
    import onnx

    model = onnx.load_model_from_string(data)
    for value in model.graph.input:
        if value.name == name:
            for dimension, length in zip(value.type.tensor_type.shape.dim, shape, strict=True):
                dimension.dim_value = length
    try:
        return graph_multiply_adds(model, output)
    except (onnx.shape_inference.InferenceError, RuntimeError):
        return None


def graph_multiply_adds(model: Any, output: str | None = None) -> int | None:
    """Return the number of multiply-adds of all convolutions and matrix products of a graph; additions and activations are not counted.

    Args:
        model: an `onnx.ModelProto` whose inputs have fixed shapes.
        output: count only what this output needs; None: the whole graph.

    Returns:
        The number; None if a shape is not fixed, or an operator is not one of those that are counted.
    """
    import onnx  # imported late: prediction does without the package

    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes: dict[str, list[int]] = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.value_info, *graph.input, *graph.output)
    }
    shapes |= {i.name: list(i.dims) for i in graph.initializer}
    total = 0
    for node in graph.node if output is None else _needed(graph, output):
        if node.op_type in _UNCOUNTED or node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type not in ("Conv", "MatMul", "Gemm"):
            continue
        out = shapes.get(node.output[0], [])
        if node.op_type == "Conv":
            # Multiply-adds per output value: input channels of its group times the size of the kernel.
            factors = _shape_of(node.input[1], graph, shapes)[1:]
        else:
            left = _shape_of(node.input[0], graph, shapes)
            is_transposed = any(a.name == "transA" and a.i for a in node.attribute)
            factors = left[:1] if is_transposed else left[-1:]
        if not out or not factors or 0 in (*out, *factors):
            return None
        total += math.prod(out) * math.prod(factors)
    return total


def _needed(graph: Any, output: str) -> list[Any]:
    """Return the nodes that an output depends on."""
    wanted, found = {output}, []
    for node in reversed(graph.node):  # a graph's nodes are sorted: inputs before what uses them
        if wanted & set(node.output):
            wanted |= set(node.input)
            found.append(node)
    return found


def _shape_of(name: str, graph: Any, shapes: dict[str, list[int]]) -> list[int]:
    """Return the shape of a value, empty if it is unknown.

    A dequantized value has the shape of the quantized one that it is computed from.
    """
    if name in shapes:
        return shapes[name]
    node = next((n for n in graph.node if name in n.output), None)
    if node is None or node.op_type not in ("DequantizeLinear", "QuantizeLinear"):
        return []
    return _shape_of(node.input[0], graph, shapes)
