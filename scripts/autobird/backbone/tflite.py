"""Read the operators and the constants of a TFLite file, a FlatBuffers file, without the package that runs it."""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_INT8, _INT32 = "<b", "<i"
_DTYPES = {0: "<f4", 1: "<f2", 2: "<i4"}
"""`TensorType` of the schema: FLOAT32, FLOAT16, INT32."""


class Operator(NamedTuple):
    """An operator of the graph.

    Attributes:
        code: `BuiltinOperator` of the schema.
        inputs: numbers of its input tensors; -1 for one that is left out.
        outputs: numbers of its output tensors.
        options: position of its options in the file, 0 for none; see `TFLiteFile.option`.
    """

    code: int
    inputs: list[int]
    outputs: list[int]
    options: int


class TFLiteFile:
    """The first graph of a TFLite file.

    Source: `schema.fbs` of google-ai-edge/LiteRT, and the internals of FlatBuffers: a table begins with the distance to its vtable,
    which holds the distance of each field from the table.

    Args:
        data: content of the file.

    Attributes:
        operators: in the order in which they are run.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        model = self._number("<I", 0)
        codes = [self._code(table) for table in self._tables(model, 1)]
        graph = self._tables(model, 2)[0]
        self._buffers = self._tables(model, 4)
        self._tensors = self._tables(graph, 0)
        self.operators = [
            Operator(
                codes[self.option(table, 0)],
                self._integers(table, 1),
                self._integers(table, 2),
                self._target(self._field(table, 4)),
            )
            for table in self._tables(graph, 3)
        ]

    def option(self, table: int, number: int, kind: str = _INT32) -> int:
        """Return a number of a table, for example of an operator's options; 0 (the default of the schema) if it is not stored.

        Args:
            table: position of the table.
            number: number of the field in the schema.
            kind: its type as in `struct`.
        """
        at = self._field(table, number)
        return self._number(kind, at) if at else 0

    def constant(self, tensor: int) -> NDArray[np.generic] | None:
        """Return the value of a constant tensor; None for one that is computed."""
        table = self._tensors[tensor]
        buffer = self._field(self._buffers[self.option(table, 2)], 0)
        if not buffer:
            return None
        at = self._target(buffer)
        dtype = np.dtype(_DTYPES[self.option(table, 1, _INT8)])
        count = self._number("<I", at) // dtype.itemsize
        return np.frombuffer(self._data, dtype, count, at + 4).reshape(self._integers(table, 0))

    def _code(self, table: int) -> int:
        """Return the code of an entry of `operator_codes`: the larger of the field of one byte and the one that replaced it."""
        return max(self.option(table, 0, _INT8), self.option(table, 3))

    def _number(self, kind: str, at: int) -> int:
        return int(struct.unpack_from(kind, self._data, at)[0])

    def _field(self, table: int, number: int) -> int:
        """Return the position of a field of a table, 0 if it is not stored."""
        vtable = table - self._number("<i", table)
        entry = 4 + 2 * number
        offset = self._number("<H", vtable + entry) if entry < self._number("<H", vtable) else 0
        return table + offset if offset else 0

    def _target(self, at: int) -> int:
        """Return the position to which the field at `at` refers, 0 for none."""
        return at + self._number("<I", at) if at else 0

    def _tables(self, table: int, number: int) -> list[int]:
        """Return the positions of the tables in a vector."""
        vector = self._target(self._field(table, number))
        return [self._target(vector + 4 + 4 * n) for n in range(self._number("<I", vector))]

    def _integers(self, table: int, number: int) -> list[int]:
        """Return a vector of integers, empty if it is not stored."""
        vector = self._target(self._field(table, number))
        count = self._number("<I", vector) if vector else 0
        return list(struct.unpack_from(f"<{count}i", self._data, vector + 4)) if count else []
