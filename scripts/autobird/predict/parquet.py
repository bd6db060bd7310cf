"""Write and read tables of detections as parquet, with pyarrow if it is installed."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.files import atomic
from autobird.predict.columns import Cell, Column

_ROWS = 100_000
"""Rows that are in memory at a time."""


def _pyarrow() -> Any:
    """Import pyarrow on use: prediction must start without it, and the base of the package does not install it."""
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise AutobirdError("parquet needs the package pyarrow; install it: pip install pyarrow") from error
    return pyarrow


def check_parquet() -> None:
    """Check that parquet can be written.

    Raises:
        AutobirdError: pyarrow is not installed.
    """
    _pyarrow()


def write_parquet(path: Path, columns: Sequence[Column], rows: Iterable[list[Cell]]) -> None:
    """Write rows; unknown values are null."""
    pa = _pyarrow()
    types = {"text": pa.string(), "seconds": pa.float64(), "score": pa.float64(), "count": pa.int64()}
    schema = pa.schema([(column.name, types[column.kind]) for column in columns])
    with atomic(path) as temporary, pa.parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
        remaining = iter(rows)
        while part := list(islice(remaining, _ROWS)):
            values = list(zip(*part, strict=True))
            arrays = [pa.array(v, field.type) for v, field in zip(values, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Read rows as dicts by column name."""
    return list(_pyarrow().parquet.read_table(path).to_pylist())
