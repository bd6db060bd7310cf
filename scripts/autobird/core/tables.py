"""Read and write tables, the same bytes for the same content: Parquet between stages, CSV for people."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from autobird.core.columns import write_arrow
from autobird.core.files import atomic, write_text

_CHUNK = 100_000
"""Rows that are processed at a time, which bounds the memory for large corpora."""

ROW_GROUP = 1 << 20
"""Rows of a row group of a Parquet file, which is all that is in memory while a large table is written. It is the default of pyarrow, so
that tables that are written at once have the same bytes."""

_GROUP_NUMBERS = 1 << 24
"""Most numbers of the vectors of a row group: 64 MiB of float32."""


def write_table(path: Path, table: pd.DataFrame, schema: pa.Schema) -> None:
    """Write `table` as Parquet with exactly the columns and types of `schema`; it may be empty."""
    write_arrow(path, pa.Table.from_pandas(table[schema.names], schema=schema, preserve_index=False))


def write_chunks(path: Path, chunks: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables one after the other to one Parquet file; only one of them has to be in memory."""
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for chunk in chunks:
            writer.write_table(chunk.replace_schema_metadata(None))


def write_table_with_vectors(
    path: Path, table: pd.DataFrame, column: str, blocks: Iterable[NDArray[np.float32]], schema: pa.Schema
) -> None:
    """Write a table, one of whose columns has a vector of numbers in each row, as `write_table` would, but with smaller row groups if
    the vectors are more than `_GROUP_NUMBERS` numbers. Only the vectors of about two row groups are in memory.

    Args:
        path: of the Parquet file.
        table: all other columns.
        column: name of the column of vectors.
        blocks: the vectors of consecutive rows, each block of shape (rows, numbers), read while the file is written; together they can
            have fewer rows than `table`, whose other rows get an empty vector.
        schema: columns and types.
    """
    others = pa.schema([field for field in schema if field.name != column])

    def chunks() -> Iterator[pa.Table]:
        unread = iter(blocks)
        vectors = next(unread, np.empty((0, 1), np.float32))
        group = min(ROW_GROUP, _GROUP_NUMBERS // vectors.shape[1])
        for at in range(0, max(1, len(table)), group):
            rows = table.iloc[at : at + group]
            parts, count = [vectors], len(vectors)
            while count < len(rows) and (block := next(unread, None)) is not None:
                parts.append(block)
                count += len(block)
            vectors = np.concatenate(parts)
            numbers, vectors = vectors[: len(rows)], vectors[len(rows) :]
            ends = np.minimum(np.arange(len(rows) + 1), len(numbers)) * numbers.shape[1]
            lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(numbers.ravel()))
            chunk = pa.Table.from_pandas(rows[others.names], schema=others, preserve_index=False)
            yield chunk.add_column(schema.get_field_index(column), schema.field(column), lists)

    write_chunks(path, chunks(), schema)


def sorted_chunks(table: pa.Table, column: str) -> Iterator[pa.Table]:
    """Yield a table sorted by a column in chunks of `_CHUNK` rows; one empty chunk if the table is empty."""
    order = pc.sort_indices(table[column])
    for at in range(0, max(1, len(order)), _CHUNK):
        yield table.take(order[at : at + _CHUNK])


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet table, or some of its columns. Lists of text become `list` objects; equal ones in a column are one object."""
    return _to_pandas(pq.read_table(path, columns=list(columns) if columns else None))


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a table in pandas. An array object for each list, which pyarrow makes, would take 120 bytes per row and column."""
    is_list = {
        field.name for field in table.schema if field.type == pa.list_(pa.string()) and not table[field.name].null_count
    }
    frame = table.select([name for name in table.column_names if name not in is_list]).to_pandas()
    for name in is_list:
        frame[name] = _shared_lists(table[name])
    return frame[table.column_names]


def _shared_lists(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return lists of text as objects of which equal ones, at least within a row group, are the same."""
    parts = [np.empty(0, object)]
    for chunk in column.chunks:
        texts = chunk.flatten().dictionary_encode()
        codes, names = texts.indices.to_numpy(), texts.dictionary.to_pylist()
        lengths = chunk.value_lengths().to_numpy()
        starts = np.cumsum(lengths) - lengths
        # Most lists have one text or none.
        of_one = np.empty(len(names) + 1, object)
        of_one[:] = [*([name] for name in names), []]
        lists = of_one[np.where(lengths == 1, np.append(codes, 0)[starts], len(names))]
        found: dict[bytes, list[str]] = {}
        for row in np.flatnonzero(lengths > 1).tolist():
            of_row = codes[starts[row] : starts[row] + lengths[row]]
            key = of_row.tobytes()
            if key not in found:
                found[key] = [names[code] for code in of_row]
            lists[row] = found[key]
        parts.append(lists)
    return np.concatenate(parts)


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
