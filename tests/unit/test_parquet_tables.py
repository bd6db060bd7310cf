"""Reading and writing of Parquet tables: lists of text are shared, vectors are written by row group, the bytes are the same."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autobird.core import tables
from autobird.core.tables import read_table, write_table, write_table_with_vectors

SCHEMA = pa.schema([("name", pa.string()), ("logits", pa.list_(pa.float32())), ("number", pa.int32())])

TABLE = pd.DataFrame({"name": list("abcdefgh"), "number": range(8)})


def in_blocks(vectors: np.ndarray, size: int = 2) -> Iterator[np.ndarray]:
    """Yield the rows of an array in blocks of `size`."""
    return (vectors[at : at + size] for at in range(0, len(vectors), size))


def test_lists_of_text_are_read_as_lists_of_which_equal_ones_are_one_object(tmp_path: Path) -> None:
    lists = [[], ["a"], ["b"], ["a", "b"], ["b", "a"], ["c", "a", "b"]] * 50
    table = pa.table({"n": range(300), "names": pa.array(lists, pa.list_(pa.string())), "text": ["x"] * 300})
    pq.write_table(table, tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")
    assert list(found) == ["n", "names", "text"]
    assert found["names"].tolist() == lists
    assert len({id(names) for names in found["names"]}) == 6
    assert read_table(tmp_path / "t.parquet", ["text", "names"])["names"].tolist() == lists


def test_lists_of_several_row_groups_keep_their_order(tmp_path: Path) -> None:
    lists = [[], ["a", "b"], ["b"], ["b", "c"], [], ["c"], ["a", "b"]]
    pq.write_table(
        pa.table({"names": pa.array(lists, pa.list_(pa.string()))}), tmp_path / "t.parquet", row_group_size=3
    )
    assert read_table(tmp_path / "t.parquet")["names"].tolist() == lists


def test_missing_lists_stay_missing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"names": pa.array([None, ["a"]], pa.list_(pa.string()))}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["names"].isna().tolist() == [True, False]


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_table_with_vectors_has_the_bytes_of_one_with_lists(rows: int, tmp_path: Path) -> None:
    table = pd.DataFrame({"name": [f"r{i}" for i in range(rows)], "number": range(rows)}).astype({"name": object})
    vectors = np.random.default_rng(0).normal(size=(max(0, rows - 2), 3)).astype(np.float32)
    lists = [*vectors, *[np.empty(0, np.float32)] * (rows - len(vectors))]
    write_table(tmp_path / "lists.parquet", table.assign(logits=pd.Series(lists, dtype=object)), SCHEMA)
    write_table_with_vectors(tmp_path / "vectors.parquet", table, "logits", in_blocks(vectors), SCHEMA)
    assert (tmp_path / "vectors.parquet").read_bytes() == (tmp_path / "lists.parquet").read_bytes()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("count", [0, 1, 3, 5, 6, 8])
@pytest.mark.parametrize(("limit", "value"), [("ROW_GROUP", 3), ("_GROUP_NUMBERS", 7)])
def test_blocks_of_vectors_are_written_by_row_group_in_their_order(
    limit: str, value: int, count: int, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, limit, value)
    vectors = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    write_table_with_vectors(tmp_path / "t.parquet", TABLE, "logits", in_blocks(vectors, size), SCHEMA)
    found = pq.ParquetFile(tmp_path / "t.parquet")
    if count:
        assert [found.metadata.row_group(group).num_rows for group in range(found.num_row_groups)] == [3, 3, 2]
    assert found.read().to_pylist() == [
        {"name": name, "logits": vectors[row].tolist() if row < count else [], "number": row}
        for row, name in enumerate("abcdefgh")
    ]


def test_blocks_of_vectors_are_read_while_the_table_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP", 2)
    read: list[int] = []
    written: list[int] = []

    def blocks() -> Iterator[np.ndarray]:
        for block in in_blocks(np.zeros((8, 3), np.float32)):
            read.append(len(block))
            yield block

    def record(path: Path, chunks: Iterable[pa.Table], schema: pa.Schema) -> None:
        written.extend(sum(read) for _ in chunks)

    monkeypatch.setattr(tables, "write_chunks", record)
    write_table_with_vectors(tmp_path / "t.parquet", TABLE, "logits", blocks(), SCHEMA)
    assert written == [2, 4, 6, 8]


def test_an_error_between_two_row_groups_leaves_the_former_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP", 2)
    (tmp_path / "t.parquet").write_text("former")

    def blocks() -> Iterator[np.ndarray]:
        yield from in_blocks(np.zeros((4, 3), np.float32))
        assert any(path.stat().st_size for path in tmp_path.glob(".t.parquet.*.tmp"))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        write_table_with_vectors(tmp_path / "t.parquet", TABLE, "logits", blocks(), SCHEMA)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    assert (tmp_path / "t.parquet").read_text() == "former"
