"""Simulated tables of a large corpus: recordings, windows and metadata, as the stages before `dataset` write them.

Lengths have the distribution of real recordings (30 s in the mean, so 11 windows), species and recordists unequal frequencies.
`python -m tests.benchmarks.growth_tables COUNT FOLDER [SPECIES]` writes them.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from autobird.audio.mel_shards import MELS
from autobird.audio.segment import SEGMENTS
from autobird.core.tables import write_table
from autobird.corpus.schemas import RECORDINGS
from tests.benchmarks.growth_landmarks import batches_for

_HEADERS = {
    "quarantine": "recording,reason",
    "labels": "recording,kind,uncertain",
    "boxes": "recording,start,end,species,problem,decision,sampling_probability",
}


def write_tables(folder: Path, count: int, kinds: int) -> None:
    """Write the tables of recordings, segments and mel frames of each batch, and those about all recordings; `kinds` is the number of
    species.
    """
    rng = np.random.default_rng(1)
    weights = 1 / np.arange(1, kinds + 1) ** 0.7
    species = rng.choice(kinds, count, p=weights / weights.sum())
    seconds = rng.lognormal(3.17, 0.7, count).clip(3, 600)
    recordist, day = rng.integers(0, max(10, 3 * count // 10), count), rng.integers(0, 3650, count)
    batches = batches_for(count)
    for name in ("recordings", "segments", "mels"):
        (folder / name).mkdir()
    for batch in range(batches):
        numbers = np.arange(batch, count, batches)
        table = pd.DataFrame({"recording": [f"{n:07d}" for n in numbers]})
        table["species"] = [f"Genus{kind // 10} species{kind}" for kind in species[numbers]]
        table["file_sha256"] = table["sound_sha256"] = table["recording"]
        table["location"] = table["recording"] + ".mp3"
        table["duration"], table["status"] = seconds[numbers], "ok"
        for field in RECORDINGS:
            if field.name not in table:
                table[field.name] = "" if field.type == "string" else 0
        write_table(folder / f"recordings/{batch:04d}.parquet", table, RECORDINGS)
        windows = np.maximum(1, np.ceil((seconds[numbers] - 5) / 2.5).astype(int) + 1)
        rows = pd.DataFrame({"recording": table["recording"].repeat(windows)}).reset_index(drop=True)
        rows["start"] = rows.groupby("recording").cumcount() * 40_000
        rows["rms"], rows["offset"], rows["samples"] = rng.lognormal(-4, 1, len(rows)), 0, 0
        rows["first_frame"] = np.arange(len(rows)) * 2
        rows["mel_mean"], rows["mel_std"] = rng.normal(-8, 2, len(rows)), rng.lognormal(0.3, 0.3, len(rows))
        write_table(folder / f"segments/{batch:04d}.parquet", rows, SEGMENTS)
        write_table(folder / f"mels/{batch:04d}.parquet", rows, MELS)
    grouping = {
        "recording": [f"{n:07d}" for n in range(count)],
        "recordist": [f"Recordist {n}" for n in recordist],
        "date": [f"{2010 + d // 365}-{d % 365 // 31 + 1:02d}-{d % 28 + 1:02d}" for d in day],
        "place": [f"Place {n}" for n in recordist],
        "split": "",
    }
    pd.DataFrame(grouping).to_csv(folder / "grouping.csv", index=False)
    for name, header in _HEADERS.items():
        (folder / f"{name}.csv").write_text(header + "\n", encoding="utf-8")


if __name__ == "__main__":
    recordings = int(sys.argv[1])
    write_tables(Path(sys.argv[2]), recordings, int(sys.argv[3]) if len(sys.argv) > 3 else max(10, recordings // 1000))
