"""Ways to compute BirdNET's embeddings: processor time per window, and the difference from the original; see docs/backbones.md."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autobird.backbone.birdnet import BirdNet
from autobird.backbone.birdnet_files import birdnet_files
from autobird.backbone.birdnet_front_end import FrontEnd
from autobird.backbone.birdnet_graph import INPUT, OUTPUT, convert
from autobird.backbone.file import onnx_session
from autobird.backbone.known import BIRDNET, describe
from autobird.backbone.settings import BackboneSettings
from autobird.backbone.tflite import TFLiteFile
from autobird.core.blas import one_blas_thread
from tests.backbones import needs_birdnet, needs_litert
from tests.benchmarks import report
from tests.unit.test_backbones import sound

pytestmark = [pytest.mark.benchmark, needs_birdnet, needs_litert]

REPEATS = int(os.environ.get("REPEATS", "7"))
WINDOWS = 16
SPECTROGRAMS, EMBEDDING = 263, 545

Embed = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From windows (n, 144000) to embeddings (n, 1024)."""


def changed(data: bytes, batch: int | None) -> bytes:
    """Return BirdNET's file cut after the embedding; with `batch` also before the convolutional part, for windows of fixed number."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    (graph,) = model.subgraphs
    graph.outputs = np.array([EMBEDDING], np.int32)
    graph.operators = graph.operators[:-1]
    if batch is not None:
        graph.inputs = np.array([SPECTROGRAMS], np.int32)
        graph.tensors[SPECTROGRAMS].shape = np.array([batch, 96, 511, 2], np.int32)
        for tensor in graph.tensors:
            tensor.shapeSignature = None
        graph.operators = [o for o in graph.operators[93:] if _with_fixed_shape(model, graph, schema, o)]
    builder = flatbuffers.Builder(1 << 26)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _with_fixed_shape(model: Any, graph: Any, schema: Any, operator: Any) -> bool:
    """Give a RESHAPE a constant shape; return whether the operator is still needed: those that compute shapes are not."""
    code = model.operatorCodes[operator.opcodeIndex]
    kind = max(code.builtinCode, code.deprecatedBuiltinCode)
    kinds = schema.BuiltinOperator
    if kind == kinds.RESHAPE:
        buffer, tensor = schema.BufferT(), schema.TensorT()
        channels = graph.tensors[operator.inputs[0]].shape[-1]
        buffer.data = np.frombuffer(np.array([-1, 1, 1, channels], "<i4").tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.name, tensor.shape, tensor.type = b"shape", np.array([4], np.int32), schema.TensorType.INT32
        tensor.buffer = len(model.buffers) - 1
        graph.tensors.append(tensor)
        operator.inputs = np.array([operator.inputs[0], len(graph.tensors) - 1], np.int32)
    return kind not in (kinds.SHAPE, kinds.STRIDED_SLICE, kinds.PACK)


def litert(data: bytes, batch: int, output: int, delegate: bool = True, threads: int = 1, keep: bool = False) -> Embed:
    """Run a TFLite graph by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=data,
        num_threads=threads,
        experimental_op_resolver_type=resolver,
        experimental_preserve_all_tensors=keep,
    )
    (entry,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(entry["index"], [batch, *entry["shape"][1:]])
    interpreter.allocate_tensors()

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        out = []
        for at in range(0, len(x), batch):
            interpreter.set_tensor(entry["index"], np.ascontiguousarray(x[at : at + batch]))
            interpreter.invoke()
            out.append(interpreter.get_tensor(output).copy())
        return np.concatenate(out)

    return run


def ways(data: bytes) -> dict[str, Embed]:
    """Return the measured ways by name; the first is the reference."""
    cut, file = changed(data, None), TFLiteFile(data)
    front_end, session = FrontEnd(file), onnx_session(convert(file), "BirdNET")
    product = BirdNet(describe(BackboneSettings()))

    def spectrograms(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with one_blas_thread():
            return np.stack([front_end.spectrograms(window) for window in x])

    def xnnpack(batch: int) -> Embed:
        convolutions = litert(changed(data, batch), batch, EMBEDDING)
        return lambda x: convolutions(spectrograms(x).transpose(0, 2, 3, 1))

    def runtime(batch: int) -> Embed:
        def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
            parts = [spectrograms(x[at : at + batch]) for at in range(0, len(x), batch)]
            return np.concatenate([session.run([OUTPUT], {INPUT: part})[0] for part in parts])

        return run

    found = {"LiteRT, all tensors kept (the plain way)": litert(data, 1, EMBEDDING, keep=True)}
    found["LiteRT, all tensors kept, without XNNPACK"] = litert(data, 1, EMBEDDING, delegate=False, keep=True)
    for batch in (1, 4, 8, 16, 32):
        found[f"LiteRT, cut after the embedding, batches of {batch}"] = litert(cut, batch, EMBEDDING)
    found["LiteRT, cut after the embedding, 2 threads"] = litert(cut, 1, EMBEDDING, threads=2)
    for batch in (1, 4, 16):
        found[f"own front end, rest by LiteRT with XNNPACK, batches of {batch}"] = xnnpack(batch)
    for batch in (4, 16):
        found[f"own front end, rest by ONNX Runtime, batches of {batch}"] = runtime(batch)
    found[f"**own front end, rest by ONNX Runtime, one by one ({BIRDNET})**"] = product.embed
    found["of which the front end"] = spectrograms
    return found


def test_birdnet() -> None:
    """Median processor time per window of each way; the ways alternate in each round."""
    model, _ = birdnet_files()
    x = np.stack([sound(3, 48000, seed) * 10.0 ** -(seed % 4) for seed in range(2 * WINDOWS)])
    found = ways(Path(model).read_bytes())
    values = {name: way(x) for name, way in found.items()}
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(REPEATS):
        for name, way in found.items():
            start = time.process_time()
            way(x)
            seconds[name].append((time.process_time() - start) / len(x))
    medians = {name: 1000 * statistics.median(v) for name, v in seconds.items()}
    first = next(iter(found))
    rows = []
    for name, ms in medians.items():
        is_embedding = values[name].shape == values[first].shape
        difference = f"{np.abs(values[name] - values[first]).max():.0e}" if is_embedding else ""
        rows.append([name, f"{ms:.1f}", f"{medians[first] / ms:.1f}", difference])
    data = {"machine": report.machine("ai-edge-litert", "onnxruntime", "numpy"), "ms per window": medians}
    head = ["", "ms of processor time per window", "times as fast", "largest difference"]
    report.write("birdnet", data, head, rows, "backbones.md")
