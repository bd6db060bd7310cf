"""Hold the windows of all batches in little memory: 68 bytes for each window, and what is the same for several windows only once.

An entry of the index stands for one or several windows. All windows of a plain recording of one species have the same labels and the same
split, and differ in the filters that they pass at most, so such a recording has up to four entries. Each window of another recording
(annotated, reviewed or negative) is an entry by itself.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.settings import FilterSettings
from autobird.core.tables import ROW_GROUP
from autobird.dataset.schemas import INDEX

_NUMBERS = {
    "start": np.int64, "shard": np.int32, "row": np.int64, "first_frame": np.int64, "rms": np.float32, "mel_std": np.float64,
    "mel_mean": np.float64,
}  # fmt: skip
"""Columns of single windows (`read_windows`)."""

WindowNumbers = dict[str, NDArray[np.generic]]
"""Numbers of all windows, sorted by recording and start: start, shard, row, first_frame, rms, mel_std, mel_mean, `entry`, the row of the
window in the table of entries, and from `crop_limits.limit_to_audible` earliest and latest; each of shape (windows,)."""


def collect_windows(
    batches: Iterable[pd.DataFrame], recordings: Sequence[str], single: Collection[str], settings: FilterSettings
) -> tuple[pd.DataFrame, WindowNumbers]:
    """Return the entries and the numbers of the windows of some recordings.

    Args:
        batches: windows of each batch (`read_windows`).
        recordings: ids of the recordings, sorted; others are left out.
        single: recordings each of whose windows is an entry by itself.
        settings: the filters of quiet windows.

    Returns:
        entries: columns recording, start, rms, mel_std (of the window, or of one of them) and `windows` (their number), sorted by
        recording; and the numbers of the windows.
    """
    names = pd.Index(recordings, dtype=object)
    is_single = np.asarray(names.isin(list(single)))
    tables: list[pd.DataFrame] = []
    parts: dict[str, list[NDArray[np.generic]]] = {name: [] for name in ("recording", *_NUMBERS, "entry")}
    count = 0
    for windows in batches:
        recording = names.get_indexer(windows["recording"])
        order = np.lexsort((windows["start"], recording))
        order = order[recording[order] >= 0]
        windows, recording = windows.iloc[order], recording[order]
        passed = (windows["rms"] < settings.min_rms) + 2 * (windows["mel_std"] < settings.min_mel_std)
        key = recording << 32 | np.where(is_single[recording], 4 + np.arange(len(windows)), passed)
        _, first, entry, sizes = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        tables.append(windows.iloc[first][["recording", "start", "rms", "mel_std"]].assign(windows=sizes))
        parts["recording"].append(recording.astype(np.int32))
        parts["entry"].append((count + entry).astype(np.int32))
        for name, dtype in _NUMBERS.items():
            parts[name].append(windows[name].to_numpy(dtype))
        count += len(first)
    entries = pd.concat(tables, ignore_index=True)
    rank = np.argsort(names.get_indexer(entries["recording"]), kind="stable")
    order = np.argsort(np.concatenate(parts.pop("recording")), kind="stable")
    numbers = {name: np.concatenate(parts.pop(name))[order] for name in list(parts)}
    new_number = np.empty(len(rank), np.int32)
    new_number[rank] = np.arange(len(rank), dtype=np.int32)
    return entries.iloc[rank].reset_index(drop=True), numbers | {"entry": new_number[numbers["entry"]]}


def index_rows(entries: pd.DataFrame, numbers: WindowNumbers) -> Iterator[pa.Table]:
    """Yield the rows of the index (`INDEX`), one per window, in row groups.

    Args:
        entries: all columns of `INDEX` that are not in `numbers`.
        numbers: of all windows.
    """
    common = pa.schema([field for field in INDEX if field.name not in numbers])
    of_entries = pa.Table.from_pandas(entries[common.names], schema=common, preserve_index=False)
    for at in range(0, len(numbers["entry"]), ROW_GROUP):
        rows = slice(at, at + ROW_GROUP)
        taken = of_entries.take(pa.array(numbers["entry"][rows]))
        columns = [
            pa.chunked_array([pa.array(numbers[field.name][rows], field.type)])
            if field.name in numbers
            else taken[field.name]
            for field in INDEX
        ]
        yield pa.Table.from_arrays(columns, schema=INDEX)
