"""Read and write tables, the same bytes for the same content: Parquet between stages, CSV for people."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from autobird.core.columns import write_arrow
from autobird.core.files import atomic, write_text

_CHUNK = 100_000
"""Rows that are processed at a time, which bounds the memory for large corpora."""


def write_table(path: Path, table: pd.DataFrame, schema: pa.Schema) -> None:
    """Write `table` as Parquet with exactly the columns and types of `schema`; it may be empty."""
    write_arrow(path, pa.Table.from_pandas(table[schema.names], schema=schema, preserve_index=False))


def write_chunks(path: Path, chunks: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables one after the other to one Parquet file; only one of them has to be in memory."""
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for chunk in chunks:
            writer.write_table(chunk.replace_schema_metadata(None))


def sorted_chunks(table: pa.Table, column: str) -> Iterator[pa.Table]:
    """Yield a table sorted by a column in chunks of `_CHUNK` rows; one empty chunk if the table is empty."""
    order = pc.sort_indices(table[column])
    for at in range(0, max(1, len(order)), _CHUNK):
        yield table.take(order[at : at + _CHUNK])


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet table, or some of its columns."""
    return pq.read_table(path, columns=list(columns) if columns else None).to_pandas()


def read_tables(paths: Sequence[Path], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the tables of several batches and concatenate them in the given order."""
    parts = [pq.read_table(p, columns=list(columns) if columns else None) for p in paths]
    return pa.concat_tables(parts).to_pandas()


def iter_tables(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield some columns of the tables of all batches; small tables are joined until they have at least `_CHUNK` rows."""
    pending: list[pa.Table] = []
    for path in paths:
        pending.append(pq.read_table(path, columns=list(columns)))
        if sum(map(len, pending)) >= _CHUNK:
            yield pa.concat_tables(pending).to_pandas()
            pending = []
    if pending:
        yield pa.concat_tables(pending).to_pandas()


class RecordingLookup:
    """A CSV table of text columns that is indexed by its column `recording`; held as Arrow, which needs little memory."""

    def __init__(self, path: Path) -> None:
        with path.open(encoding="utf-8") as file:
            header = next(csv.reader(file))
        self._table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(block_size=1 << 24),  # a row must fit into one block
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
        self._index = pd.Index(self._table["recording"].to_pandas())

    def of(self, recordings: "pd.Series[str]") -> pd.DataFrame:
        """Return the rows of `recordings`, in their order, without the column `recording`; missing rows hold ""."""
        rows = self._index.get_indexer(recordings)
        found = self._table.drop_columns(["recording"]).take(pa.array(rows, mask=rows < 0)).to_pandas()
        return found.fillna("").set_index(recordings.index)


def read_text_csv(path: Path) -> pd.DataFrame:
    """Read a CSV table with all columns as text; an empty cell is ""."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` as UTF-8 CSV with a header and \\n line ends, atomically."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
