"""Convert the convolutional part of BirdNET 2.4 from TFLite to ONNX, which ONNX Runtime computes several times faster.

LiteRT delegates little of the graph to its fast kernels, because the shapes of most tensors depend on the shape of the input.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.onnx_writer import OnnxGraph
from autobird.backbone.tflite import Operator, TFLiteFile

INPUT, OUTPUT = "spectrograms", "embedding"
SHAPE = (2, 96, 511)
"""Shape of the input without the number of windows: two spectrograms, mel bands from the highest to the lowest, frames."""

_SPECTROGRAMS, _EMBEDDING = 263, 545
"""Numbers of the tensors `model/concatenate/concat`, the output of the front end, and `model/GLOBAL_AVG_POOL/Mean`."""

_ADD, _AVERAGE_POOL, _CONCATENATION, _CONV, _DEPTHWISE, _LOGISTIC, _MAX_POOL, _MUL = 0, 1, 2, 3, 4, 14, 17, 18
_RESHAPE, _PAD, _MEAN, _STRIDED_SLICE, _SHAPE, _PACK = 22, 34, 40, 45, 77, 83
"""`BuiltinOperator` of the schema of TFLite."""

_BYTE = "<b"
_VALID = 1
"""`Padding.VALID` of the schema; 0 is `SAME`."""

_Shape = tuple[int, int, int]
"""Channels, height, width."""


def convert(file: TFLiteFile) -> bytes:
    """Return the part of BirdNET 2.4 from its spectrograms to the embedding as ONNX.

    Raises:
        ValueError: an operator that BirdNET 2.4 does not have.
    """
    return _Converter(file).convert()


class _Converter:
    """Walks through the operators. TFLite's tensors are (n, height, width, channels), those of ONNX (n, channels, height, width)."""

    def __init__(self, file: TFLiteFile) -> None:
        self._file, self._graph = file, OnnxGraph()
        self._names = {_SPECTROGRAMS: INPUT}
        self._shapes: dict[int, _Shape] = {_SPECTROGRAMS: SHAPE}
        self._padding = {_SPECTROGRAMS: (0, 0, 0, 0)}
        """Zeros that a PAD operator adds at the top, left, bottom and right; the following convolution adds them itself."""

    def convert(self) -> bytes:
        """Return the graph; see the function `convert`."""
        numbers = [operator.outputs[0] for operator in self._file.operators]
        for operator in self._file.operators[numbers.index(_SPECTROGRAMS) + 1 : numbers.index(_EMBEDDING) + 1]:
            self._add(operator)
        self._graph.add("Flatten", [self._names[_EMBEDDING]], OUTPUT)
        width = self._shapes[_EMBEDDING][0]
        return self._graph.serialize({INPUT: ["n", *SHAPE]}, {OUTPUT: ["n", width]})

    def _add(self, operator: Operator) -> None:
        code, source, target = operator.code, operator.inputs[0], operator.outputs[0]
        if code in (_SHAPE, _STRIDED_SLICE, _PACK):
            return  # they compute the shapes of the RESHAPE operators, which add dimensions of length 1 to means
        name = f"t{target}"
        if code in (_RESHAPE, _PAD):
            name = self._names[source]
            self._shapes[target] = self._shapes[source]
            if code == _PAD:
                (_, (top, bottom), (left, right), _) = self._constant(operator.inputs[1]).tolist()
                self._padding[target] = (top, left, bottom, right)
        elif code in (_CONV, _DEPTHWISE):
            self._add_convolution(operator, name)
        elif code in (_AVERAGE_POOL, _MAX_POOL):
            self._add_pooling(operator, name)
        elif code in (_ADD, _MUL):
            inputs = [self._factor(tensor) for tensor in operator.inputs]
            has_relu = self._file.option(operator.options, 0, _BYTE)
            self._add_with_activation("Add" if code == _ADD else "Mul", inputs, name, has_relu)
            self._shapes[target] = self._shapes[source]
        elif code == _LOGISTIC:
            self._graph.add("Sigmoid", [self._names[source]], name)
            self._shapes[target] = self._shapes[source]
        elif code == _MEAN:
            self._graph.add("GlobalAveragePool", [self._names[source]], name)
            self._shapes[target] = (self._shapes[source][0], 1, 1)
        elif code == _CONCATENATION:
            self._graph.add("Concat", [self._names[t] for t in operator.inputs], name, axis=1)
            channels = sum(self._shapes[t][0] for t in operator.inputs)
            self._shapes[target] = (channels, *self._shapes[source][1:])
        else:
            raise ValueError(f"operator {code} is not one of BirdNET 2.4")
        self._names[target] = name
        self._padding.setdefault(target, (0, 0, 0, 0))

    def _add_convolution(self, operator: Operator, name: str) -> None:
        option, options = self._file.option, operator.options
        source, weights, bias = operator.inputs
        is_depthwise = operator.code == _DEPTHWISE
        # (out, height, width, in) -> (out, in, height, width); of a depthwise convolution (1, height, width, out)
        kernel = self._constant(weights).transpose((3, 0, 1, 2) if is_depthwise else (0, 3, 1, 2))
        strides = (option(options, 2), option(options, 1))
        pads, size = self._pads(source, kernel.shape[2:], strides, option(options, 0, _BYTE) == _VALID)
        inputs = [self._names[source], self._graph.constant(f"w{weights}_{name}", kernel)]
        inputs.append(self._graph.constant(f"b{bias}_{name}", self._constant(bias)))
        has_relu = option(options, 4 if is_depthwise else 3, _BYTE)
        groups = kernel.shape[0] if is_depthwise else 1
        self._add_with_activation(
            "Conv", inputs, name, has_relu, kernel_shape=kernel.shape[2:], strides=strides, pads=pads, group=groups
        )
        self._shapes[operator.outputs[0]] = (kernel.shape[0], *size)

    def _add_pooling(self, operator: Operator, name: str) -> None:
        option, options = self._file.option, operator.options
        source, kind = operator.inputs[0], "AveragePool" if operator.code == _AVERAGE_POOL else "MaxPool"
        kernel, strides = (option(options, 4), option(options, 3)), (option(options, 2), option(options, 1))
        pads, size = self._pads(source, kernel, strides, option(options, 0, _BYTE) == _VALID)
        self._graph.add(kind, [self._names[source]], name, kernel_shape=kernel, strides=strides, pads=pads)
        self._shapes[operator.outputs[0]] = (self._shapes[source][0], *size)

    def _pads(
        self, source: int, kernel: tuple[int, ...], strides: tuple[int, int], is_valid: bool
    ) -> tuple[list[int], tuple[int, int]]:
        """Return the padding (top, left, bottom, right) and the size of the output (height, width)."""
        before = self._padding[source]
        pads, size = list(before), [0, 0]
        for axis in (0, 1):
            length = self._shapes[source][1 + axis] + before[axis] + before[2 + axis]
            if is_valid:
                size[axis] = (length - kernel[axis]) // strides[axis] + 1
                continue
            size[axis] = -(-length // strides[axis])
            missing = max(0, (size[axis] - 1) * strides[axis] + kernel[axis] - length)
            pads[axis] += missing // 2
            pads[2 + axis] += missing - missing // 2
        return pads, (size[0], size[1])

    def _add_with_activation(self, kind: str, inputs: list[str], name: str, has_relu: int, **attributes: Any) -> None:
        self._graph.add(kind, inputs, f"{name}_linear" if has_relu else name, **attributes)
        if has_relu:
            self._graph.add("Relu", [f"{name}_linear"], name)

    def _factor(self, tensor: int) -> str:
        """Return the name of an operand of ADD or MUL; a constant has one value per channel."""
        value = self._file.constant(tensor)
        if value is None:
            return self._names[tensor]
        return self._graph.constant(f"c{tensor}", self._constant(tensor).reshape(-1, 1, 1))

    def _constant(self, tensor: int) -> NDArray[Any]:
        value = self._file.constant(tensor)
        assert value is not None
        return np.asarray(value)
