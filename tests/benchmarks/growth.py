"""Measure how time and memory of the stages that see the whole corpus grow with the number of recordings.

    python -m tests.benchmarks.growth RECORDINGS --sizes 1000 10000          # adds the sizes to docs/growth.json
    python -m tests.benchmarks.growth RECORDINGS --sizes 1000 --former /path/to/other/checkout/scripts
    python -m tests.benchmarks.growth --sizes 100000 --species 1000 --former ...   # logits alone, with this number of species, of both codes
    python -m tests.benchmarks.growth --draw                                 # docs/growth.png and the tables in docs/growth.md

Stages: `landmark_votes` (all ranges), `near_duplicates` and `dataset`. Landmarks and windows are simulated, see `growth_landmarks` (which
needs a folder of real recordings) and `growth_tables`. Each job runs in a process of its own, as in a run. Processor time and peak memory
are those of the job; with several jobs, the sum of their times, and the memory of the two largest. With more than `MEASURED_WHOLE`
recordings, only one range of hashes is measured (its time times the share of its landmarks is an estimate), `dataset`, and what reads its
windows without holding all logits.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# The package is imported by the jobs alone: the peak memory of a process that Linux reports includes that of its parent.

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
MAX_RANGES = 64
"""Most ranges of hashes of a run (`workflow/rules/common.smk`)."""

MEASURED_WHOLE = 200_000
FORMER_PAIRS = 10_000
"""Most recordings with which the comparison of all batches by the former code is measured: its time grows with their square."""

NO_PAIRS = "recording,other,votes,offset,species,other_species\n"

ONE_RANGE = 31
"""The range that is measured of larger corpora: its share of the landmarks is about the mean."""

FORMER_LOGITS = 200_000
"""Most recordings with which the former `score` and the reading for evaluation are measured: they hold the logits of all windows."""

Measured = dict[str, float]


def run(arguments: Sequence[object], scripts: Path = SCRIPTS) -> tuple[Measured, str]:
    """Run a module, and return its time, processor time and peak memory, and what it prints.

    Raises:
        RuntimeError: it failed.
    """
    start = time.monotonic()
    environment = os.environ | {"PYTHONPATH": f"{scripts}:{ROOT}"}
    command = [sys.executable, "-m", *map(str, arguments)]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}")
    cpu = used.ru_utime + used.ru_stime
    return {
        "seconds": round(time.monotonic() - start, 1),
        "cpu": round(cpu, 1),
        "mb": round(used.ru_maxrss / 1024),
    }, printed


def together(runs: Sequence[Measured]) -> Measured:
    """Return the sum of the times of several jobs, the time of the longest one, and the memory of the two largest."""
    largest = sorted((one["mb"] for one in runs), reverse=True)
    return {
        "cpu": round(sum(one["cpu"] for one in runs), 1), "longest": max(one["cpu"] for one in runs), "mb": sum(largest[:2]),
        "mb_of_job": largest[0],
    }  # fmt: skip


def files(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder in the order of their names."""
    return sorted(folder.glob(pattern))


def landmark_votes(folder: Path, number: int, ranges: int) -> Measured:
    """Run the job of one range of hashes."""
    found, _ = run(
        [
            "autobird.corpus.landmark_votes", "--landmarks", *files(folder, "landmarks/*"), "--range", number, "--ranges", ranges,
            "--votes", folder / f"votes{number:02d}.npy", "--summary", folder / f"votes{number:02d}.json", "--log", folder / "log",
        ]
    )  # fmt: skip
    return found


def measure_votes(folder: Path, ranges: int, jobs: int) -> Measured:
    """Run all jobs of `landmark_votes`, `jobs` at a time."""
    start = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        runs = list(pool.map(lambda number: landmark_votes(folder, number, ranges), range(ranges)))
    return {"seconds": round(time.monotonic() - start, 1), **together(runs)}


def near_duplicates(folder: Path, scripts: Path = SCRIPTS) -> Measured:
    """Run the stage `near_duplicates`, with the votes if there are some (the former code has none)."""
    votes = ["--votes", *files(folder, "votes*.npy"), "--summaries", *files(folder, "votes*.json")]
    found, _ = run(
        [
            "autobird.corpus.near_duplicates", "--landmarks", *files(folder, "landmarks/*"), "--recordings", *files(folder, "recordings/*"),
            *(votes if scripts == SCRIPTS else []), "--output", folder / "near_duplicates.csv", "--log", folder / "log",
        ],
        scripts,
    )  # fmt: skip
    return found


def dataset(folder: Path, scripts: Path = SCRIPTS) -> Measured:
    """Run the stage `dataset`."""
    names = {
        "grouping": "grouping.csv", "quarantine": "quarantine.csv", "near-duplicates": "near_duplicates.csv", "boxes": "boxes.csv",
        "labels-table": "labels.csv", "state": "state", "index": "index.parquet", "labels": "labels.json",
        "normalisation": "normalisation.json", "leakage": "leakage.json", "counts": "counts.json", "log": "log",
    }  # fmt: skip
    options = [text for name, file in names.items() for text in (f"--{name}", folder / file)]
    for name in ("recordings", "segments", "mels"):
        options += [f"--{name}", *files(folder, f"{name}/*")]
    found, printed = run(["autobird.dataset.dataset", *options], scripts)
    sys.stderr.write(printed)
    return found


def measure(count: int, folder: Path, arguments: Sequence[object], former: Path | None, jobs: int) -> dict[str, Any]:
    """Measure all stages for a number of recordings; with `former`, those of the code in this folder.

    Args:
        count: number of recordings.
        folder: an empty folder.
        arguments: of `growth_landmarks`: folder of real recordings, and cache.
        former: scripts folder of the former code; None: this code.
        jobs: number of jobs of `landmark_votes` at a time.
    """
    whole = count <= MEASURED_WHOLE
    (folder / "landmarks").mkdir()
    ranges = min(MAX_RANGES, max(8, count // 1000))
    only = [] if whole else ["--only", ONE_RANGE, ranges]
    simulation = ["tests.benchmarks.growth_landmarks", *arguments, "--count", count]
    _, written = run([*simulation, "--write", folder / "landmarks", *only])
    run(["tests.benchmarks.growth_tables", count, folder])
    results: dict[str, Any] = {}
    if former:
        if count <= FORMER_PAIRS:
            results["near_duplicates"] = near_duplicates(folder, former)
        else:
            (folder / "near_duplicates.csv").write_text(NO_PAIRS)
        report(count, results)
        return results | {"dataset": dataset(folder, former), **reading(folder, former)}
    if whole:
        results["landmarks_mb"] = round(sum(file.stat().st_size for file in files(folder, "landmarks/*")) / 1e6)
        results["landmark_votes"] = measure_votes(folder, ranges, jobs)
        results["votes_mb"] = round(sum(file.stat().st_size for file in files(folder, "votes*.npy")) / 1e6)
        report(count, results)
        results["near_duplicates"] = near_duplicates(folder)
        report(count, results)
        _, printed = run([*simulation, "--score", folder / "near_duplicates.csv"])
        results["pairs"] = json.loads(printed)
    else:
        results["one_range"] = landmark_votes(folder, ONE_RANGE, ranges)
        results["one_range"]["share"] = json.loads(written)["share"]
        results["one_range"]["votes_mb"] = round((folder / f"votes{ONE_RANGE:02d}.npy").stat().st_size / 1e6)
        (folder / "near_duplicates.csv").write_text(NO_PAIRS)
    report(count, results)
    results["dataset"] = dataset(folder)
    report(count, results)
    return results | reading(folder, steps=("train", "score", "evaluate") if whole else ("train", "score"))


def reading(
    folder: Path, scripts: Path = SCRIPTS, steps: Sequence[str] = ("train", "score", "evaluate")
) -> dict[str, Measured]:
    """Run steps of `growth_reading`."""
    run(["tests.benchmarks.growth_reading", "prepare", folder])
    return {step: run(["tests.benchmarks.growth_reading", step, folder], scripts)[0] for step in steps}


def measure_logits(count: int, folder: Path, species: int, former: Path | None) -> dict[str, Any]:
    """Measure what computes and reads logits, with a number of species; with `former`, also the `score` of the code in this folder.

    Args:
        count: number of recordings.
        folder: an empty folder.
        species: number of species.
        former: scripts folder of the former code.
    """
    run(["tests.benchmarks.growth_tables", count, folder, species])
    (folder / "near_duplicates.csv").write_text(NO_PAIRS)
    dataset(folder)
    run(["tests.benchmarks.growth_reading", "prepare", folder])
    results: dict[str, Any] = {}
    for name, step, scripts, most in (
        ("former_score", "score", former, FORMER_LOGITS), ("score", "score", SCRIPTS, count), ("evaluate", "evaluate", SCRIPTS, FORMER_LOGITS),
    ):  # fmt: skip
        if scripts and count <= most:
            results[name], printed = run(["tests.benchmarks.growth_reading", step, folder], scripts)
            if name == "score":
                results["windows"] = int(printed)
            report(count, results)
    return results


def report(count: int, results: dict[str, Any]) -> None:
    """Print what has been measured so far."""
    print(datetime.now(UTC).strftime("%H:%M:%S"), count, json.dumps(results), file=sys.stderr, flush=True)


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recordings", type=Path, nargs="?", help="folder of MP3 files, from whose landmarks others are made")
    p.add_argument("--sizes", type=int, nargs="+", default=[], help="numbers of recordings")
    p.add_argument("--cache", type=Path, help="file for the landmarks of the recordings")
    p.add_argument("--former", type=Path, help="scripts folder of another checkout, to be measured instead")
    p.add_argument(
        "--species", type=int, help="measure only what computes and reads logits, with this number of species"
    )
    p.add_argument("--work", type=Path, help="folder for temporary files: 120 kB per recording")
    p.add_argument("--jobs", type=int, default=1, help="jobs of landmark_votes at a time")
    p.add_argument("--draw", action="store_true", help="write the figure and the tables")
    args = p.parse_args()
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    results_file = ROOT / "docs/growth.json"
    for count in args.sizes:
        cache = args.cache or Path(args.work or ".") / "growth_landmarks.npz"
        with TemporaryDirectory(dir=args.work) as folder:
            if args.species:
                measured = measure_logits(count, Path(folder), args.species, args.former)
            else:
                measured = measure(count, Path(folder), [args.recordings, "--cache", cache], args.former, args.jobs)
        results = json.loads(results_file.read_text(encoding="utf-8")) if results_file.exists() else {}
        if args.species:
            results.setdefault("logits", {}).setdefault(str(args.species), {})[str(count)] = measured
        else:
            results.setdefault("former" if args.former else "sizes", {})[str(count)] = measured
        results_file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if args.draw:
        from tests.benchmarks.growth_figure import write_documents

        write_documents(json.loads(results_file.read_text(encoding="utf-8")), ROOT / "docs")


if __name__ == "__main__":
    main()
