"""Small tables of recordings and windows for tests of the data set."""

import numpy as np
import pandas as pd

from autobird.corpus.quarantine import quarantine_reasons
from autobird.corpus.schemas import PAIRS, RECORDINGS
from autobird.dataset import index as dataset_index
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.settings import DatasetStageSettings

NO_METADATA = pd.DataFrame(columns=["recording", "recordist", "date", "place", "split"], dtype=str)
NO_EXCLUSIONS = pd.DataFrame(columns=["recording", "reason"], dtype=str)
NO_PAIRS = pd.DataFrame(columns=PAIRS, dtype=str)


def tables_of(
    table: pd.DataFrame, grouping: pd.DataFrame = NO_METADATA, **other_tables: pd.DataFrame
) -> RecordingTables:
    """Return the tables about recordings, with the quarantine that follows from `table`."""
    reasons = quarantine_reasons(table, NO_EXCLUSIONS, NO_PAIRS)
    if "boxes" in other_tables and "decision" not in other_tables["boxes"]:
        other_tables["boxes"] = other_tables["boxes"].assign(decision="", sampling_probability=0.0)
    return RecordingTables(grouping, frozenset(reasons.index[reasons != ""]), **({"pairs": NO_PAIRS} | other_tables))


def build_index(
    recordings: pd.DataFrame, windows: pd.DataFrame, tables: RecordingTables, settings: DatasetStageSettings
) -> tuple[pd.DataFrame, list[str]]:
    """Return the index with one row per window (column windows: 1), and the labels."""
    entries, numbers, labels = dataset_index.build_index(
        recordings, [of_batch for _, of_batch in windows.groupby("shard")], tables, settings
    )
    rows = entries.iloc[numbers["entry"]].reset_index(drop=True).assign(windows=1)
    return rows.assign(**{name: values for name, values in numbers.items() if name != "entry"}), labels


def recordings(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Return a table of recordings from (recording, species, checksum of the audio, reason)."""
    table = pd.DataFrame(rows, columns=["recording", "species", "sound_sha256", "reason"])
    table["file_sha256"] = table["sound_sha256"]
    table["status"] = np.where(table["reason"] == "", "ok", "unusable")
    table["duration"] = 60.0
    for name in RECORDINGS.names:
        if name not in table:
            table[name] = "" if RECORDINGS.field(name).type == "string" else 0.0
    return table[RECORDINGS.names]


def many(species: str, count: int) -> list[tuple[str, str, str, str]]:
    return [(f"{species}/{i}", species, f"{species}{i}", "") for i in range(count)]


def windows(table: pd.DataFrame, per_recording: int = 3, rms: float = 0.1) -> pd.DataFrame:
    ok = table.loc[table["status"] == "ok", "recording"].repeat(per_recording).reset_index(drop=True)
    n = len(ok)
    return pd.DataFrame(
        {
            "recording": ok, "start": np.tile(np.arange(per_recording) * 40_000, n // per_recording), "rms": np.float32(rms),
            "first_frame": np.arange(n) * 157, "mel_mean": -8.0, "mel_std": 1.5, "shard": 0, "row": np.arange(n),
        }
    )  # fmt: skip
