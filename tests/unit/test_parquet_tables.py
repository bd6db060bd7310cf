"""Reading and writing of Parquet tables: lists of text are shared, vectors are written by row group, the bytes are the same."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autobird.core import tables
from autobird.core.tables import read_table, write_table, write_table_with_vectors

SCHEMA = pa.schema([("name", pa.string()), ("logits", pa.list_(pa.float32())), ("number", pa.int32())])


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
    write_table_with_vectors(tmp_path / "vectors.parquet", table, "logits", vectors, SCHEMA)
    assert (tmp_path / "vectors.parquet").read_bytes() == (tmp_path / "lists.parquet").read_bytes()


def test_a_table_with_vectors_is_written_by_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP", 3)
    table = pd.DataFrame({"name": list("abcdefgh"), "number": range(8)})
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    write_table_with_vectors(tmp_path / "t.parquet", table, "logits", vectors, SCHEMA)
    found = pq.ParquetFile(tmp_path / "t.parquet")
    assert found.num_row_groups == 3
    assert found.read()["logits"].to_pylist() == [*vectors.tolist(), [], [], []]
