"""Speed and memory from audio files to mel shards; docs/speed.md explains the methods and the results."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import soundfile
import torch
from threadpoolctl import threadpool_limits

from autobird.core.files import csv_text
from autobird.sources.listing import MANIFEST_COLUMNS
from tests.benchmarks import methods, report, synthetic
from tests.conftest import SHARED, copy_project

pytestmark = pytest.mark.benchmark

REPEATS = int(os.environ.get("REPEATS", "5"))
CORES = len(os.sched_getaffinity(0))
PACKAGES = ("numpy", "scipy", "soundfile", "soxr", "torch", "torchaudio", "librosa", "snakemake")

Method = Callable[[Sequence[Path], Path], None]


class Corpus(NamedTuple):
    """Files, and their total duration in seconds."""

    files: list[Path]
    seconds: float


def corpora(folder: Path) -> dict[str, Corpus]:
    """Return stereo and mono mp3 files of 44.1 kHz: real recordings, or synthetic ones where those are missing."""
    paths = sorted((SHARED / "corpus").rglob("*.mp3")) if SHARED.is_dir() else []
    if not paths:
        for channels in (1, 2):
            for n in range(6):
                samples = synthetic.song(60, 44100, channels, n)
                paths.append(synthetic.write(folder / f"{channels}-{n}.mp3", samples, 44100))
    found: dict[str, Corpus] = {}
    for name, channels in (("stereo", 2), ("mono", 1)):
        files, seconds = [], 0.0
        for path in paths:
            try:
                info = soundfile.info(path)
            except soundfile.LibsndfileError:
                continue  # the other methods cannot open it
            if (info.samplerate, info.channels) == (44100, channels):
                files.append(path)
                seconds += info.duration
        found[name] = Corpus(files, seconds)
    return found


def timed(method: Method, corpus: Corpus, clock: Callable[[], float]) -> float:
    with tempfile.TemporaryDirectory() as out:
        start = clock()
        method(corpus.files, Path(out))
        return clock() - start


def interleaved(named: dict[str, Method], corpus: Corpus, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Return the seconds of each method; methods alternate in each round, and the first round is a warm-up."""
    found: dict[str, list[float]] = {name: [] for name in named}
    for round_ in range(REPEATS + 1):
        for name, method in named.items():
            seconds = timed(method, corpus, clock)
            if round_:
                found[name].append(seconds)
    return found


def ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    return corpora(tmp_path_factory.mktemp("made"))


ONE_CORE: dict[str, Method] = {
    "(a) decoding": methods.decoding,
    "(a+) decoding and resampling": methods.decoding_and_resampling,
    "(b) original project": methods.original_project,
    "(c) librosa": methods.with_librosa,
    "(d) this project": methods.stages,
    "(d) without hash and statistics": methods.samples_to_shard,
    "(d) with landmarks": lambda files, out: methods.stages(files, out, near_duplicates=True),
}


def test_core_seconds(made: dict[str, Corpus]) -> None:
    """CPU time of each method in one process with one thread."""
    named = dict(ONE_CORE)
    try:
        import librosa  # noqa: F401
    except ImportError:
        del named["(c) librosa"]
    torch.set_num_threads(1)
    data: dict[str, Any] = {"machine": report.machine(*PACKAGES), "repeats": REPEATS}
    found = {}
    with threadpool_limits(1):
        for kind, corpus in made.items():
            found[kind] = interleaved(named, corpus, time.process_time)
            data[kind] = {"hours": corpus.seconds / 3600, "core_seconds": found[kind]}
    rows = []
    for name in named:
        row = [name]
        for kind, corpus in made.items():
            times = found[kind]
            speed = corpus.seconds / statistics.median(times[name])
            row += [
                f"{speed:,.0f}",
                f"{ratio(times[name], times['(a+) decoding and resampling']):.2f}",
                f"{ratio(times['(b) original project'], times[name]):.2f}",
            ]
        rows.append(row)
    header = ["one core"]
    for kind in made:
        header += [f"{kind}, x real time", "core-s / core-s of (a+)", "speedup over (b)"]
    report.write("core-seconds", data, header, rows)
    for kind in made:
        assert ratio(found[kind]["(d) this project"], found[kind]["(a+) decoding and resampling"]) < 2
        assert ratio(found[kind]["(b) original project"], found[kind]["(d) this project"]) > 1


def test_all_cores(made: dict[str, Corpus]) -> None:
    """Wall clock time: the original project with torch's default threads, this project with one process per core."""
    torch.set_num_threads(torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else CORES)
    named: dict[str, Method] = {
        "(b) original project": methods.original_project,
        "(d) this project": lambda files, out: methods.stages(files, out, CORES),
        "(d) with landmarks": lambda files, out: methods.stages(files, out, CORES, near_duplicates=True),
    }
    data: dict[str, Any] = {"machine": report.machine(*PACKAGES), "repeats": REPEATS, "cores": CORES}
    rows = [[name] for name in named]
    for kind, once in made.items():
        corpus = Corpus(3 * once.files, 3 * once.seconds)  # so that the start of the processes has little weight
        found = interleaved(named, corpus, time.perf_counter)
        data[kind] = {"hours": corpus.seconds / 3600, "seconds": found}
        for row, name in zip(rows, named, strict=True):
            speed = corpus.seconds / statistics.median(found[name])
            row += [f"{speed:,.0f}", f"{ratio(found['(b) original project'], found[name]):.2f}"]
    header = [f"{CORES} cores, wall clock"]
    for kind in made:
        header += [f"{kind}, x real time", "speedup over (b)"]
    report.write("all cores", data, header, rows)


BATCHES = 8


def commands(batch: int, root: Path, results: Path, threads: int = 1) -> list[list[str]]:
    """Return the commands of the rules of a batch, to run them without Snakemake."""
    f = {
        k: str(results / f"{batch}.{k}")
        for k in ("csv", "parquet", "l.npy", "p.npy", "s.parquet", "m.npy", "m.parquet")
    }
    python, log = [sys.executable, "-m"], ["--log", str(results / f"{batch}.log")]
    more = ["--threads", str(threads), *log]
    return [
        [*python, "autobird.corpus.recordings", "--manifest", f["csv"], "--root", str(root), "--recordings", f["parquet"],
         "--landmarks", f["l.npy"], "--pcm", f["p.npy"], *more],
        [*python, "autobird.audio.segment", "--recordings", f["parquet"], "--pcm", f["p.npy"], "--segments", f["s.parquet"], *log],
        [*python, "autobird.audio.mel_shards", "--segments", f["s.parquet"], "--pcm", f["p.npy"], "--shard", f["m.npy"],
         "--table", f["m.parquet"], *more],
    ]  # fmt: skip


def test_snakemake(made: dict[str, Corpus], tmp_path: Path) -> None:
    """The three stages of eight batches: with Snakemake, and as same commands without Snakemake in parallel without it."""
    birds = tmp_path / "birds"
    files = [f for c in made.values() for f in c.files]
    for kind, corpus in made.items():
        (birds / f"Genus {kind}").mkdir(parents=True)
        for number, path in enumerate(corpus.files):
            (birds / f"Genus {kind}" / f"{number}{path.suffix}").symlink_to(path)
    seconds = sum(c.seconds for c in made.values())
    project = copy_project(tmp_path / "project")
    features = project / "results/features/bench"
    targets = [f"results/features/bench/mels/{b}.npy" for b in range(BATCHES)]
    snakemake = [
        sys.executable, "-m", "snakemake", *targets, "--quiet", "all", "--jobs", str(CORES), "--configfile",
        "config/folder.yaml", "--config", f"corpus={{root: {birds}, batches: {BATCHES}}}", "features={name: bench}",
    ]  # fmt: skip
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(project / "scripts")}
    found: dict[str, list[float]] = {"with Snakemake": [], "same commands without Snakemake": []}
    for round_ in range(REPEATS + 1):
        subprocess.run(
            ["rm", "-rf", str(project / "results"), str(project / ".snakemake"), str(project / ".autobird")], check=True
        )
        start = time.perf_counter()
        subprocess.run(snakemake, cwd=project, check=True, capture_output=True)
        with_snakemake = time.perf_counter() - start
        direct = tmp_path / f"direct{round_}"
        direct.mkdir()
        for batch in range(BATCHES):
            (direct / f"{batch}.csv").write_bytes((features / f"corpus/manifest/{batch}.csv").read_bytes())

        def run(batch: int, to: Path = direct) -> None:
            for command in commands(batch, birds, to):
                subprocess.run(command, check=True, capture_output=True, env=environment)

        start = time.perf_counter()
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(run, range(BATCHES)))
        without = time.perf_counter() - start
        assert (features / "mels/3.npy").read_bytes() == (direct / "3.m.npy").read_bytes()
        if round_:
            found["with Snakemake"].append(with_snakemake)
            found["same commands without Snakemake"].append(without)
    medians = {name: statistics.median(times) for name, times in found.items()}
    overhead = statistics.median(a - b for a, b in zip(*found.values(), strict=True))
    data = {
        "machine": report.machine(*PACKAGES),
        "hours": seconds / 3600,
        "seconds": found,
        "overhead": overhead,
        "cores": CORES,
    }
    rows = [[name, f"{t:.1f}", f"{seconds / t:,.0f}"] for name, t in medians.items()]
    rows.append(
        [
            "overhead of Snakemake",
            f"{overhead:.1f}",
            f"{100 * overhead / medians['same commands without Snakemake']:.0f} %",
        ]
    )
    report.write(
        "Snakemake",
        data,
        [f"{len(files)} recordings, {seconds / 3600:.1f} h, {CORES} cores", "seconds", "x real time"],
        rows,
    )


_LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True)
seconds = time.perf_counter() - start
sys.stderr.buffer.write(done.stderr[-2000:])
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
sys.exit(done.returncode)
"""
"""Run a command from a small process, like `/usr/bin/time -v`: the memory of a forked process includes that of its parent."""


def measured(command: list[str]) -> tuple[float, float]:
    """Return the wall clock time in seconds and the largest resident memory of any process of the command in MB."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    launched = [sys.executable, "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(launched, stdout=subprocess.PIPE, check=True, env=environment)
    seconds, megabytes = json.loads(done.stdout)
    return seconds, megabytes


def run_batch(files: Sequence[Path], folder: Path, threads: int) -> dict[str, tuple[float, float]]:
    """Return time and memory of each stage on one batch."""
    folder.mkdir()
    lines = [[p.name, "x", "", "", "", "", ""] for p in files]
    (folder / "0.csv").write_text(csv_text([list(MANIFEST_COLUMNS), *lines]))
    found = {}
    for name, command in zip(
        ("recordings", "segment", "mel_shards"),
        commands(0, files[0].parent if files else folder, folder, threads),
        strict=True,
    ):
        found[name] = measured(command)
    for path in folder.glob("*.npy"):
        path.unlink()
    return found


def test_scale(tmp_path: Path) -> None:
    """Time and memory of batches of 1, 10 and 100 hours; the environment variable HOURS=1,10 skips the largest."""
    sources = [
        synthetic.write(tmp_path / f"{n}.mp3", synthetic.song(120, 44100, 1 + n % 2, n), 44100) for n in range(6)
    ]
    hours = [float(h) for h in os.environ.get("HOURS", "1,10,100").split(",")]
    birds = tmp_path / "birds"
    birds.mkdir()
    empty = run_batch([], tmp_path / "empty", CORES)
    start_up = sum(t for t, _ in empty.values())
    rows, data = [], {"machine": report.machine(*PACKAGES), "cores": CORES, "start_up": start_up, "sizes": {}}
    files: list[Path] = []
    for size in hours:
        while len(files) < size * 30:
            files.append(birds / f"{len(files)}.mp3")
            files[-1].hardlink_to(sources[len(files) % 6])
        found = run_batch(files, tmp_path / f"{size:g}", CORES)
        work = sum(t for t, _ in found.values()) - start_up
        data["sizes"][f"{size:g}"] = {name: {"seconds": t, "MB": mb} for name, (t, mb) in found.items()}
        rows.append(
            [
                f"{size:g} h",
                f"{work:.1f}",
                f"{work / size:.2f}",
                f"{3600 * size / work:,.0f}",
                *(f"{mb:.0f}" for _, mb in found.values()),
            ]
        )
    header = [
        f"batch size, {CORES} cores",
        "s without start-up",
        "s per hour of audio",
        "x real time",
        "recordings, MB",
        "segment, MB",
        "mel_shards, MB",
    ]
    report.write("scale", data, header, rows)


def test_memory_of_long_recordings(tmp_path: Path) -> None:
    """Memory of the stages for one file with an hour of 48 kHz stereo."""
    interpreter = measured([sys.executable, "-c", "pass"])[1]
    minute = synthetic.song(60, 48000, 2, 0)
    mp3 = synthetic.repeated(synthetic.write(tmp_path / "a.mp3", minute, 48000, **synthetic.CONSTANT), 60)
    files = [mp3]
    for name, options in (("a.wav", {"subtype": "PCM_24"}), ("a.flac", {}), ("a.ogg", {"subtype": "VORBIS"})):
        path = tmp_path / name
        with soundfile.SoundFile(path, "w", 48000, 2, **options) as file:
            for _ in range(60):
                for at in range(0, len(minute), 1 << 15):
                    file.write(minute[at : at + (1 << 15)])
        files.append(path)
    rows, data = [], {"machine": report.machine(*PACKAGES), "interpreter_MB": interpreter, "files": {}}
    for path in files:
        found = run_batch([path], tmp_path / f"run{path.suffix}", 1)
        data["files"][path.suffix[1:]] = {name: {"seconds": t, "MB": mb} for name, (t, mb) in found.items()}
        rows.append([f"60 min of {path.suffix[1:]}", *(f"{mb - interpreter:.0f}" for _, mb in found.values())])
        assert max(mb for _, mb in found.values()) - interpreter < 300
    report.write("memory", data, ["48 kHz, stereo", "recordings, MB", "segment, MB", "mel_shards, MB"], rows)


def test_start_up() -> None:
    """Time and memory of the imports of each stage."""
    rows, data = [], {"machine": report.machine(*PACKAGES), "seconds": {}}
    for module in ("autobird.corpus.recordings", "autobird.audio.segment", "autobird.audio.mel_shards"):
        script = f"import {module}, sys; assert not {{'torch', 'pandas', 'matplotlib'}} & set(sys.modules)"
        times = [measured([sys.executable, "-c", script]) for _ in range(REPEATS)]
        data["seconds"][module] = [t for t, _ in times]
        seconds, mb = statistics.median(t for t, _ in times), max(mb for _, mb in times)
        rows.append([module, f"{seconds:.2f}", f"{mb:.0f}"])
        assert seconds < 1
    report.write("start-up", data, ["import", "seconds", "MB"], rows)
