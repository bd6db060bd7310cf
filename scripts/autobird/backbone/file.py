"""Backbones in ONNX and TFLite files."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.base import Backbone, BackboneInfo, Samples
from autobird.backbone.checks import litert_interpreter, read_checked
from autobird.backbone.known import Description
from autobird.core.errors import AutobirdError
from autobird.core.multiply_adds import onnx_multiply_adds


class Tensor(NamedTuple):
    """An input or output of a network: its name, and its shape with None for lengths that are not fixed."""

    name: str
    shape: tuple[int | None, ...]


class _Runner(Protocol):
    """Runs the network of a file on one window."""

    inputs: list[Tensor]
    outputs: list[Tensor]

    def prepare(self, name: str, shape: tuple[int, ...], output: str) -> None:
        """Choose input and output, and fix the input's shape."""
        ...

    def run(self, samples: Samples) -> NDArray[np.float32]:
        """Return the output for one input of the shape given to `prepare`."""
        ...


class FileBackbone(Backbone):
    """The network of an ONNX file (by ONNX Runtime) or a TFLite file (by LiteRT), on one CPU thread.

    The windows are computed one by one: the values of a window must not depend on the others of its batch, and matrix products of
    other sizes may be summed in another order.

    Args:
        file: the file; its suffix tells the format.
        description: what the settings say about it.
        sha256: expected checksum; None: any.

    Raises:
        AutobirdError: the file is missing, has another checksum, cannot be loaded, or does not fit the description.
    """

    def __init__(self, file: Path, description: Description, sha256: str | None = None) -> None:
        d, what = description, f"backbone {description.name}"
        data, digest = read_checked(file, sha256, d.name, str(file))
        runners: dict[str, Callable[[bytes, Path], _Runner]] = {".onnx": _OnnxRunner, ".tflite": _TFLiteRunner}
        if file.suffix.lower() not in runners:
            raise AutobirdError(
                f"{what}: {file} is neither an .onnx nor a .tflite file; convert it, or correct backbone.file"
            )
        self._runner: _Runner = runners[file.suffix.lower()](data, file)
        samples = round(d.window * d.sample_rate)
        entry = _chosen(self._runner.inputs, d.input, "input", f"{what}: {file}", range(1, 4))
        output = _chosen(self._runner.outputs, d.output, "output", f"{what}: {file}", range(2, 3))
        self._shape = _input_shape(entry, samples, f"{what}: {file}")
        self._peak = d.peak
        try:
            self._runner.prepare(entry.name, self._shape, output.name)
            width = self._embed_one(np.zeros(samples, np.float32)).size
        except Exception as error:  # the errors of ONNX Runtime and LiteRT have no common base class
            raise AutobirdError(
                f"{what}: {file} cannot compute a window ({str(error).splitlines()[0]}); give a network whose only input is samples as "
                "float32"
            ) from error
        self.info = BackboneInfo(
            name=d.name, sha256=digest, sample_rate=d.sample_rate, window=d.window, width=width, licence=d.licence,
            source=d.source, input=entry.name, output=output.name, peak=d.peak,
        )  # fmt: skip
        self._file, self.size = file, len(data)

    def embed(self, samples: Samples) -> NDArray[np.float32]:
        """See `Backbone.embed`."""
        return np.array([self._embed_one(window) for window in samples], np.float32).reshape(-1, self.info.width)

    def multiply_adds(self) -> int | None:
        """See `Backbone.multiply_adds`."""
        if self._file.suffix.lower() != ".onnx":
            return None
        return onnx_multiply_adds(self._file.read_bytes(), self.info.input, self._shape, self.info.output)

    def _embed_one(self, window: Samples) -> NDArray[np.float32]:
        if self._peak is not None:
            window = scaled_to_peak(window, self._peak)
        return self._runner.run(window.reshape(self._shape)).reshape(-1)


def scaled_to_peak(window: Samples, peak: float) -> Samples:
    """Return a window without its mean and with `peak` as its largest absolute sample; a constant window becomes zeros.

    Source: the window normalisation of google-research/perch-hoplite.
    """
    centred = window - window.mean(dtype=np.float64).astype(np.float32)
    largest = np.abs(centred).max(initial=0)
    return centred if largest == 0 else centred * (np.float32(peak) / largest)


def _chosen(tensors: list[Tensor], name: str | None, key: str, where: str, ranks: range) -> Tensor:
    """Return the tensor with this name; without a name, the only one whose number of dimensions is in `ranks`.

    Raises:
        AutobirdError: there is no such tensor, or several.
    """
    fitting = [t for t in tensors if (t.name == name if name is not None else len(t.shape) in ranks)]
    if len(fitting) == 1:
        return fitting[0]
    found = ", ".join(f"{t.name} {list(t.shape)}" for t in tensors)
    problem = f"has no {key} {name!r}" if name is not None else f"has {len(fitting)} candidates for the {key}"
    raise AutobirdError(f"{where} {problem}; set backbone.{key} to one of: {found}")


def _input_shape(entry: Tensor, samples: int, where: str) -> tuple[int, ...]:
    """Return the shape of the input for one window.

    Raises:
        AutobirdError: the network takes windows of another length, or several windows at once only.
    """
    *leading, length = entry.shape
    if length not in (None, 1, samples) or any(n not in (None, 1) for n in leading):
        raise AutobirdError(
            f"{where}: its input {entry.name} has the shape {list(entry.shape)}, but backbone.window and backbone.sample_rate give one "
            f"window of {samples} samples; correct them"
        )
    return (*(1 for _ in leading), samples)


class _OnnxRunner:
    """Runs an ONNX file."""

    def __init__(self, data: bytes, file: Path) -> None:
        self._session = onnx_session(data, str(file))
        self.inputs = [_onnx_tensor(t) for t in self._session.get_inputs()]
        self.outputs = [_onnx_tensor(t) for t in self._session.get_outputs()]
        self._input = self._output = ""

    def prepare(self, name: str, shape: tuple[int, ...], output: str) -> None:  # noqa: ARG002 - `run` gives the shape
        """See `_Runner`."""
        self._input, self._output = name, output

    def run(self, samples: Samples) -> NDArray[np.float32]:
        """See `_Runner`."""
        return self._session.run([self._output], {self._input: np.ascontiguousarray(samples)})[0]


def onnx_session(data: bytes, what: str) -> Any:
    """Open an ONNX graph with ONNX Runtime, on one CPU thread.

    Raises:
        AutobirdError: ONNX Runtime cannot load it.
    """
    import onnxruntime  # imported late, because the workflow reads descriptions of backbones without it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the errors of ONNX Runtime have no common base class
        raise AutobirdError(
            f"{what} cannot be loaded by ONNX Runtime {onnxruntime.__version__} ({str(error).splitlines()[0]}); give another file"
        ) from error


def _onnx_tensor(t: Any) -> Tensor:
    return Tensor(t.name, tuple(n if isinstance(n, int) else None for n in t.shape))


class _TFLiteRunner:
    """Runs a TFLite file."""

    def __init__(self, data: bytes, file: Path) -> None:
        self._interpreter = tflite_interpreter(data, str(file))
        self.inputs = [_tflite_tensor(d) for d in self._interpreter.get_input_details()]
        self.outputs = [_tflite_tensor(d) for d in self._interpreter.get_output_details()]
        self._input = self._output = 0
        self._lock = Lock()

    def prepare(self, name: str, shape: tuple[int, ...], output: str) -> None:
        """See `_Runner`."""
        self._input = next(d["index"] for d in self._interpreter.get_input_details() if d["name"] == name)
        self._output = next(d["index"] for d in self._interpreter.get_output_details() if d["name"] == output)
        self._interpreter.resize_tensor_input(self._input, list(shape))
        self._interpreter.allocate_tensors()

    def run(self, samples: Samples) -> NDArray[np.float32]:
        """See `_Runner`."""
        with self._lock:  # the interpreter holds input and output, so threads must not use it at the same time
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(samples))
            self._interpreter.invoke()
            return self._interpreter.get_tensor(self._output)


def tflite_interpreter(data: bytes, what: str) -> Any:
    """Open a TFLite graph with LiteRT, on one CPU thread.

    Raises:
        AutobirdError: the package is missing, or cannot load the graph.
    """
    litert = litert_interpreter()
    try:
        return litert.Interpreter(model_content=data, num_threads=1)
    except (ValueError, RuntimeError) as error:
        raise AutobirdError(
            f"{what} cannot be loaded by ai-edge-litert ({str(error).splitlines()[0]}); give another file"
        ) from error


def _tflite_tensor(details: dict[str, Any]) -> Tensor:
    return Tensor(details["name"], tuple(int(n) if n > 0 else None for n in details["shape_signature"]))
