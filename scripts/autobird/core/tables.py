"""Tables on disk with the same bytes for the same content: parquet for stages, CSV for people."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from autobird.core.files import atomic, write_text


def write_table(path: Path, table: pd.DataFrame, schema: pa.Schema) -> None:
    """Write `table` as parquet with exactly the columns and types of `schema`; an empty table is valid."""
    arrow = pa.Table.from_pandas(table[schema.names], schema=schema, preserve_index=False)
    with atomic(path) as temporary:
        pq.write_table(arrow.replace_schema_metadata(None), temporary, compression="zstd")


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a parquet table (or some of its columns)."""
    return pq.read_table(path, columns=list(columns) if columns else None).to_pandas()


def read_tables(paths: Sequence[Path], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the tables of all batches as one, in the order given."""
    parts = [pq.read_table(p, columns=list(columns) if columns else None) for p in paths]
    return pa.concat_tables(parts).to_pandas()


def read_facts(path: Path) -> pd.DataFrame:
    """Read a CSV table whose columns are all text; an empty cell is ""."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` as UTF-8 CSV with a header and \\n line ends."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
