"""Read and write Parquet tables as columns, without pandas, whose import takes longer than these short stages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autobird.core.files import atomic


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet; the same content gives the same bytes."""
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd")


def write_columns(path: Path, columns: Mapping[str, Any], schema: pa.Schema) -> None:
    """Write columns as Parquet: arrays or sequences by the names in `schema`, which may be empty."""
    write_arrow(path, pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema))


def read_columns(path: Path, columns: Sequence[str]) -> list[Any]:
    """Read some columns of a Parquet table: numbers as arrays, text as lists."""
    table = pq.read_table(path, columns=list(columns), use_threads=False)
    return [c.to_pylist() if pa.types.is_string(c.type) else c.to_numpy() for c in map(table.column, columns)]
