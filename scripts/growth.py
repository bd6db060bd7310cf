"""Measure how time and memory of `landmark_votes`, `near_duplicates` and `dataset` grow with the number of recordings.

Writes docs/growth.json, docs/growth.png and the table in docs/corpus.md. Landmarks and windows are simulated, no audio. The spectral
peaks have the density of real recordings (10 per second), and the bands of the peaks of each species are as unequal as it takes for
two recordings to share as many landmarks and triples of peaks by chance as real ones do. Recordings of a species share calls. One
recording in 100 is a modified copy of another one. Each stage runs in a process of its own, as in a run; two processes at a time.

    python scripts/growth.py                              # 1e3 to 1e5 recordings, about an hour
    python scripts/growth.py --sizes 1000 10000           # other sizes
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

# The modules of the package are imported by the functions that use them, so that the memory of a stage is its own.

SIZES = (1_000, 10_000, 100_000)
CORES = 2
MAX_RANGES = 64
PEAKS_PER_SECOND = 10
FRAMES_PER_SECOND = 62.5

COPIES = {"mp3": (0.64, 1.0), "excerpt of 40 % with noise": (0.6, 0.4)}
"""Share of the peaks that a modified copy keeps, and its share of the length. On real recordings, re-encoding as mp3 keeps 32 % of the
landmarks, and an excerpt with noise, encoded as ogg, 11 %."""

CALLS = 30
"""Number of calls of a species; each recording has one. 3 % of the pairs of real recordings of one species have landmarks in common at
one offset."""

REPEATS = 4
"""Number of times that a recording repeats its call."""


def species_of(count: int) -> Any:
    """Return the species of each recording, with unequal frequencies."""
    import numpy as np

    kinds = max(10, count // 100)
    weights = 1 / np.arange(1, kinds + 1) ** 0.7
    return np.random.default_rng(1).choice(kinds, count, p=weights / weights.sum())


def seconds_of(count: int) -> Any:
    """Return the length of each recording: 30 s in the mean, as in the real corpus."""
    import numpy as np

    return np.random.default_rng(2).lognormal(3.17, 0.7, count).clip(3, 600)


def peaks_of(species: Any, seconds: Any, rng: Any) -> tuple[Any, Any, Any]:
    """Return row of the recording, frame and band of the spectral peaks of some recordings, in any order."""
    import numpy as np

    kinds = int(species.max()) + 1
    of_species = np.random.default_rng(0)
    centres, spread = of_species.integers(20, 230, (kinds, 5)), of_species.uniform(5, 25, (kinds, 5))
    call_bands, call_frames = of_species.integers(20, 230, (kinds, CALLS, 3)), of_species.integers(1, 8, (kinds, CALLS, 3)).cumsum(axis=2)
    length = (seconds * FRAMES_PER_SECOND).astype(int)
    recording = np.repeat(np.arange(len(species)), np.round(PEAKS_PER_SECOND * seconds).astype(int))
    frames = (rng.random(len(recording)) * length[recording]).astype(int)
    kind = species[recording], rng.integers(0, 5, len(recording))
    bands = rng.normal(centres[kind], spread[kind]).astype(int)
    bands = np.where(rng.random(len(recording)) < 0.3, rng.integers(0, 252, len(recording)), bands.clip(0, 251))
    caller = np.repeat(np.arange(len(species)), REPEATS)
    call = species[caller], np.repeat(rng.integers(0, CALLS, len(species)), REPEATS)
    start = (rng.random(len(caller)) * length[caller]).astype(int)
    return (
        np.concatenate([recording, np.repeat(caller, 3)]),
        np.concatenate([frames, (start[:, None] + call_frames[call]).ravel()]),
        np.concatenate([bands, call_bands[call].ravel()]),
    )


def copy_of(frames: Any, bands: Any, kept: float, length: float, rng: Any) -> tuple[Any, Any]:
    """Return the peaks of a modified copy: some are kept, of which some move by a frame, and others take the places of the rest."""
    import numpy as np

    end = int(frames.max()) + 1
    first = rng.integers(0, end - int(length * end) + 1)
    inside = (frames >= first) & (frames < first + length * end)
    frames, bands = frames[inside] - first, bands[inside]
    is_kept = rng.random(len(frames)) < kept
    frames = np.where(is_kept, frames + (rng.random(len(frames)) < 0.2), rng.integers(0, max(1, int(length * end)), len(frames)))
    return frames, np.where(is_kept, bands, rng.integers(0, 252, len(frames)))


def copies_of(count: int, batches: int) -> dict[int, int]:
    """Return the number of each recording that is a copy with that of its original."""
    return {number: number - batches for number in range(99, count, 100) if number >= batches}


def write_landmarks(folder: Path, count: int, batches: int) -> None:
    """Write the landmarks of each batch, and the pairs of originals and copies."""
    import numpy as np
    import pandas as pd

    from autobird.audio.landmarks import LANDMARK, _pairs, sort_by_hash

    species, seconds, copies = species_of(count), seconds_of(count), copies_of(count, batches)
    (folder / "landmarks").mkdir()
    for batch in range(batches):
        numbers = np.arange(batch, count, batches)
        rng = np.random.default_rng([3, batch])
        recording, frames, bands = peaks_of(species[numbers], seconds[numbers], rng)
        for number in filter(copies.__contains__, numbers.tolist()):
            of_original = recording == copies[number] // batches
            of_copy = copy_of(frames[of_original], bands[of_original], *list(COPIES.values())[number // 100 % 2], rng)
            others = recording != number // batches
            recording = np.append(recording[others], np.full(len(of_copy[0]), number // batches))
            frames, bands = np.append(frames[others], of_copy[0]), np.append(bands[others], of_copy[1])
        # Peaks of different recordings are too far apart to be paired.
        first_frame = np.arange(len(numbers)) * 50_000
        at = first_frame[recording] + frames
        order = np.argsort(at << 8 | bands)
        hashes, times = _pairs(at[order], bands[order])
        rows = np.zeros(len(hashes), LANDMARK)
        rows["hash"], rows["recording"], rows["frame"] = hashes, times // 50_000, times % 50_000
        np.save(folder / f"landmarks/{batch:04d}.npy", sort_by_hash(rows))
    names = {"recording": [f"{n:07d}" for n in copies], "other": [f"{n:07d}" for n in copies.values()]}
    kinds = [list(COPIES)[number // 100 % 2] for number in copies]
    pd.DataFrame({**names, "kind": kinds}).to_csv(folder / "copies.csv", index=False)


def write_tables(folder: Path, count: int, batches: int) -> None:
    """Write the tables of recordings, segments and mel frames of each batch, and those about all recordings."""
    import numpy as np
    import pandas as pd

    from autobird.audio.mel_shards import MELS
    from autobird.audio.segment import SEGMENTS
    from autobird.core.tables import write_table
    from autobird.corpus.schemas import RECORDINGS

    kinds = species_of(count)
    seconds, copies = seconds_of(count), copies_of(count, batches)
    kinds[list(copies)] = kinds[list(copies.values())]
    rng = np.random.default_rng(5)
    recordist, day = rng.integers(0, max(10, 3 * count // 10), count), rng.integers(0, 3650, count)
    for batch in range(batches):
        numbers = np.arange(batch, count, batches)
        table = pd.DataFrame({"recording": [f"{n:07d}" for n in numbers]})
        table["species"] = [f"Genus{kind // 10} species{kind}" for kind in kinds[numbers]]
        table["file_sha256"] = table["sound_sha256"] = table["recording"]
        table["location"] = table["recording"] + ".mp3"
        table["duration"], table["status"] = seconds[numbers], "ok"
        for field in RECORDINGS:
            if field.name not in table:
                table[field.name] = "" if field.type == "string" else 0
        write_table(_made(folder / f"recordings/{batch:04d}.parquet"), table, RECORDINGS)
        windows = np.maximum(1, np.ceil((seconds[numbers] - 5) / 2.5).astype(int) + 1)
        rows = pd.DataFrame({"recording": table["recording"].repeat(windows)}).reset_index(drop=True)
        rows["start"] = rows.groupby("recording").cumcount() * 40_000
        rows["rms"], rows["offset"], rows["samples"] = rng.lognormal(-4, 1, len(rows)), 0, 0
        rows["first_frame"] = np.arange(len(rows)) * 78
        rows["mel_mean"], rows["mel_std"] = rng.normal(-8, 2, len(rows)), rng.lognormal(0.3, 0.3, len(rows))
        write_table(_made(folder / f"segments/{batch:04d}.parquet"), rows, SEGMENTS)
        write_table(_made(folder / f"mels/{batch:04d}.parquet"), rows, MELS)
    names = [f"{n:07d}" for n in range(count)]
    columns = {
        "recordist": [f"Recordist {n}" for n in recordist], "date": [f"{2010 + d // 365}-{d % 365 // 31 + 1:02d}-{d % 28 + 1:02d}" for d in day],
        "place": [f"Place {n}" for n in recordist], "split": "",
    }  # fmt: skip
    pd.DataFrame({"recording": names, **columns}).to_csv(folder / "grouping.csv", index=False)
    for name, header in (
        ("quarantine", "recording,reason"), ("labels", "recording,kind,uncertain"),
        ("boxes", "recording,start,end,species,problem,decision,sampling_probability"),
    ):  # fmt: skip
        (folder / f"{name}.csv").write_text(header + "\n")


def _made(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    return path


def measured(module: str, *arguments: object) -> dict[str, float]:
    """Run a stage, and return its time, the time that it used the processor, and its peak memory.

    Raises:
        RuntimeError: the stage failed.
    """
    start = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    process = subprocess.Popen([sys.executable, "-m", module, *map(str, arguments)], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    seconds = time.monotonic() - start
    return {"seconds": round(seconds, 1), "cpu": round(used.ru_utime + used.ru_stime, 1), "mb": round(used.ru_maxrss / 1024)}


def together(start: float, runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the time since `start`, the processor time of some runs, and the peak memory of `CORES` of them at a time."""
    largest = sorted((run["mb"] for run in runs), reverse=True)[:CORES]
    return {"seconds": round(time.monotonic() - start, 1), "cpu": round(sum(run["cpu"] for run in runs), 1), "mb": sum(largest)}


def batches_for(count: int) -> int:
    """Return the number of batches for 1,000 recordings per batch, within the limits of the setting."""
    return min(1000, max(8, count // 1000))


def measure_landmark_votes(folder: Path, ranges: int) -> dict[str, float]:
    """Run the stage `landmark_votes` for all ranges."""
    landmarks = sorted((folder / "landmarks").iterdir())

    def run_range(number: int) -> dict[str, float]:
        return measured(
            "autobird.corpus.landmark_votes", "--landmarks", *landmarks, "--range", number, "--ranges", ranges,
            "--votes", folder / f"{number:02d}.npy", "--summary", folder / f"{number:02d}.json", "--log", folder / "log",
        )  # fmt: skip

    start = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        return together(start, list(pool.map(run_range, range(ranges))))


def measure_near_duplicates(folder: Path) -> dict[str, float]:
    """Run the stage `near_duplicates`."""
    return measured(
        "autobird.corpus.near_duplicates", "--landmarks", *sorted((folder / "landmarks").iterdir()),
        "--recordings", *sorted((folder / "recordings").iterdir()), "--votes", *sorted(folder.glob("??.npy")),
        "--summaries", *sorted(folder.glob("??.json")), "--output", folder / "near_duplicates.csv", "--log", folder / "log",
    )  # fmt: skip


def measure_dataset(folder: Path) -> dict[str, float]:
    """Run the stage `dataset`."""
    files = {"grouping": "grouping.csv", "quarantine": "quarantine.csv", "near-duplicates": "near_duplicates.csv", "boxes": "boxes.csv",
             "labels-table": "labels.csv", "state": "state", "index": "index.parquet", "labels": "labels.json",
             "normalisation": "normalisation.json", "leakage": "leakage.json", "counts": "counts.json", "log": "log"}  # fmt: skip
    options = [text for name, file in files.items() for text in (f"--{name}", folder / file)]
    for name in ("recordings", "segments", "mels"):
        options += [f"--{name}", *sorted((folder / name).iterdir())]
    return measured("autobird.dataset.dataset", *options)


def recall_of(folder: Path) -> dict[str, Any]:
    """Return the share of the copies that were found, by kind, and the number of pairs that are not copies."""
    import pandas as pd

    copies = pd.read_csv(folder / "copies.csv", dtype=str)
    found = pd.read_csv(folder / "near_duplicates.csv", dtype=str)
    pairs = set(map(frozenset, found[["recording", "other"]].to_numpy()))
    is_found = [frozenset(pair) in pairs for pair in copies[["recording", "other"]].to_numpy()]
    recall = copies.assign(found=is_found).groupby("kind")["found"].mean().round(3).to_dict()
    return {"recall": recall, "copies": len(copies), "wrong": len(pairs) - sum(is_found)}


def measure_size(count: int, folder: Path) -> dict[str, Any]:
    """Measure the stages for a number of recordings."""
    batches = batches_for(count)
    write_landmarks(folder, count, batches)
    write_tables(folder, count, batches)
    results: dict[str, Any] = {"landmarks_mb": round(sum(f.stat().st_size for f in (folder / "landmarks").iterdir()) / 1e6)}
    results["landmark_votes"] = measure_landmark_votes(folder, min(MAX_RANGES, batches))
    results["votes_mb"] = round(sum(f.stat().st_size for f in folder.glob("??.npy")) / 1e6)
    results["near_duplicates"] = measure_near_duplicates(folder)
    results |= recall_of(folder)
    results["dataset"] = measure_dataset(folder)
    return results
