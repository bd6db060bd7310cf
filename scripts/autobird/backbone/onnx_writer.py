"""Write an ONNX graph as bytes, without the package onnx, which prediction does not need otherwise."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_FLOAT, _INT, _INTS = 1, 2, 7
"""`TensorProto.FLOAT`, `AttributeProto.INT`, `AttributeProto.INTS`."""

_IR_VERSION, _OPSET = 8, 17


class OnnxGraph:
    """A graph of float32 tensors that is built node by node.

    Source: `onnx.proto3` of the ONNX project, and the encoding of Protocol Buffers.
    """

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: int | Sequence[int]) -> str:
        """Add a node of the default operator set; return the name of its output."""
        fields = [*(_text(1, name) for name in inputs), _text(2, output), _text(4, kind)]
        fields += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(b"".join(fields))
        return output

    def constant(self, name: str, value: NDArray[np.floating]) -> str:
        """Add a constant; return its name."""
        array = np.ascontiguousarray(value, "<f4")
        dimensions = b"".join(_number(1, n) for n in array.shape)
        self._constants.append(dimensions + _number(2, _FLOAT) + _text(8, name) + _bytes(9, array.tobytes()))
        return name

    def serialize(self, inputs: Mapping[str, Sequence[int | str]], outputs: Mapping[str, Sequence[int | str]]) -> bytes:
        """Return the bytes of the model.

        Args:
            inputs: shape of each input by its name; the name of a dimension stands for any length.
            outputs: the same for the outputs.
        """
        graph = b"".join(
            [
                *(_bytes(1, node) for node in self._nodes),
                _text(2, "graph"),
                *(_bytes(5, constant) for constant in self._constants),
                *(_bytes(11, _tensor(name, shape)) for name, shape in inputs.items()),
                *(_bytes(12, _tensor(name, shape)) for name, shape in outputs.items()),
            ]
        )
        return _number(1, _IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, _OPSET))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT)
    return _text(1, name) + b"".join(_number(8, n) for n in value) + _number(20, _INTS)


def _tensor(name: str, shape: Iterable[int | str]) -> bytes:
    """Return a `ValueInfoProto` of a float32 tensor."""
    dimensions = b"".join(_bytes(1, _number(1, n) if isinstance(n, int) else _text(2, n)) for n in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, dimensions)))
