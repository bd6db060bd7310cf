"""The compact index: the same file as from one table with a row per window, for any division into batches."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autobird.core.tables import write_chunks, write_table
from autobird.dataset import window_entries
from autobird.dataset.counts import count_dataset
from autobird.dataset.index import build_index
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.schemas import INDEX
from autobird.dataset.settings import DatasetStageSettings
from autobird.dataset.window_entries import collect_windows, index_rows
from autobird.sources.base import ANNOTATED, NEGATIVE
from autobird.sources.splits import SPLITS
from tests import dataset_tables
from tests.dataset_tables import many, recordings, tables_of

SETTINGS = DatasetStageSettings(min_windows=5)


def corpus() -> tuple[pd.DataFrame, pd.DataFrame, RecordingTables]:
    """Return recordings, windows and tables of a corpus with quiet windows, negatives, annotations and uncertain species."""
    other = [(f"{kind}/{i}", "", f"{kind}{i}", "") for kind in ("field", "noise") for i in range(8)]
    table = recordings(*many("x", 30), *many("y", 30), ("z/0", "z", "z0", ""), ("bad", "x", "", "empty file"), *other)
    windows = dataset_tables.windows(table, 4)
    rng = np.random.default_rng(0)
    windows["rms"] = rng.choice(np.float32([0.001, 0.1, 0.2]), len(windows))
    windows["mel_std"] = rng.choice([0.01, 1.5, 1.6], len(windows), p=[0.1, 0.5, 0.4])
    boxes = [(f"field/{i}", 1.0 * i, 1.0 * i + 2, "x", "") for i in range(8)]
    boxes += [(f"field/{i}", 1.0 * i, 1.0 * i + 2, "y", "") for i in range(4)]  # windows with two species
    kinds = [(name, ANNOTATED if name.startswith("field") else NEGATIVE, []) for name, *_ in other]
    tables = tables_of(
        table,
        boxes=pd.DataFrame(boxes, columns=["recording", "start", "end", "species", "problem"]),
        labels=pd.DataFrame([*kinds, ("x/2", "", ["Y"])], columns=["recording", "kind", "uncertain"]),
    )
    return table, windows, tables


def divided(windows: pd.DataFrame, batches: int) -> list[pd.DataFrame]:
    """Return the windows in batches of whole recordings, in another order than that of the names."""
    of = pd.factorize(windows["recording"])[0] * 7 % batches
    return [windows[of == batch].iloc[::-1] for batch in range(batches)]


@pytest.mark.parametrize("batches", [1, 5])
def test_the_index_has_the_bytes_of_a_table_with_a_row_per_window(batches: int, tmp_path: Path) -> None:
    table, windows, tables = corpus()
    rows, _ = dataset_tables.build_index(table, windows, tables, SETTINGS)
    write_table(tmp_path / "whole.parquet", rows, INDEX)
    entries, numbers, _ = build_index(table, divided(windows, batches), tables, SETTINGS)
    write_chunks(tmp_path / "index.parquet", index_rows(entries, numbers), INDEX)
    assert len(entries) < len(numbers["entry"]) == len(rows) == 77 * 4
    assert (tmp_path / "index.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_the_counts_are_those_of_a_table_with_a_row_per_window() -> None:
    table, windows, tables = corpus()
    rows, labels = dataset_tables.build_index(table, windows, tables, SETTINGS)
    entries, _, _ = build_index(table, divided(windows, 3), tables, SETTINGS)
    counts = count_dataset(table, entries, labels, tables, SETTINGS)
    assert counts == count_dataset(table, rows, labels, tables, SETTINGS)
    assert counts["windows"] == 77 * 4
    in_use = [counts[kind][split]["windows"] for kind in ("splits", "negatives") for split in SPLITS]
    assert sum(in_use) == counts["windows_used"]
    assert all(
        counts["splits"][split]["windows"] > counts["splits"][split]["recordings"] for split in ("train", "test")
    )
    assert counts["unknown"]["windows"] > counts["unknown"]["recordings"] == 1


def test_batches_without_windows_change_nothing() -> None:
    """As in a small corpus, whose batches can hold no recordings, or none that are usable."""
    table, windows, tables = corpus()
    entries, numbers, labels = build_index(table, [windows], tables, SETTINGS)
    more = [windows.iloc[:0], windows, windows.iloc[:0]]
    other_entries, other_numbers, other_labels = build_index(table, more, tables, SETTINGS)
    pd.testing.assert_frame_equal(other_entries, entries)
    assert other_labels == labels
    assert all(np.array_equal(other_numbers[name], numbers[name]) for name in numbers)


def test_row_groups_have_the_bytes_of_a_table_that_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, windows, tables = corpus()
    entries, numbers, _ = build_index(table, [windows], tables, SETTINGS)
    monkeypatch.setattr(window_entries, "ROW_GROUP", 100)
    write_chunks(tmp_path / "groups.parquet", index_rows(entries, numbers), INDEX)
    assert pq.ParquetFile(tmp_path / "groups.parquet").num_row_groups == 4
    rows, _ = dataset_tables.build_index(table, windows, tables, SETTINGS)
    whole = pa.Table.from_pandas(rows[INDEX.names], schema=INDEX, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(whole, tmp_path / "at once.parquet", row_group_size=100, compression="zstd")
    assert (tmp_path / "groups.parquet").read_bytes() == (tmp_path / "at once.parquet").read_bytes()


def test_windows_share_an_entry_if_they_pass_the_same_filters() -> None:
    windows = dataset_tables.windows(recordings(("b", "x", "b", ""), ("a", "x", "a", ""), ("c", "x", "c", "")), 4)
    windows["rms"] = np.float32([0.1, 0.001, 0.3, 0.1] * 3)
    windows["mel_std"] = [1.5, 1.5, 1.5, 0.01] * 3
    entries, numbers = collect_windows(divided(windows, 2), ["a", "b"], {"b"}, SETTINGS)
    assert entries[["recording", "windows"]].to_numpy().tolist() == [
        ["a", 2], ["a", 1], ["a", 1], ["b", 1], ["b", 1], ["b", 1], ["b", 1],
    ]  # fmt: skip
    assert numbers["entry"].tolist() == [0, 1, 0, 2, 3, 4, 5, 6]
    assert numbers["start"].tolist() == [0, 40_000, 80_000, 120_000] * 2
