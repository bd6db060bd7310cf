"""Write docs/costs.md: time, memory and cost of each rule, measured in a finished run and scaled to a corpus of 114 species.

usage: python scripts/costs.py results/benchmarks/<run>
"""

import csv
import platform
import re
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from autobird.cluster.needs import NEEDS, SNAKEMAKE_MB, AudioSizes, machine  # noqa: E402
from autobird.core.files import read_json  # noqa: E402
from autobird.core.tables import read_table  # noqa: E402
from autobird.model.settings import TrainSettings  # noqa: E402

HOURS, WINDOWS = 28.1, 37_633
"""The Kaggle corpus of 114 species: hours of audio, and windows of 5 s every 2.5 s."""

BATCHES = 8
"""Number of batches that the corpus is divided into."""

AUDIO = {"download", "recordings", "segment", "mel_shards", "embed"}
TRAINING = {"train", "prune"}
WINDOW = {"dataset", "score", "compare", "evaluate", "quantize", "bundle", "drift", "drift_current", "data_figures"}
"""Rules whose time grows with the hours of audio (`AUDIO`), with windows times epochs (`TRAINING`) or with the windows (`WINDOW`).
The time of all other rules is taken as constant."""

GPU = {"train", "prune"}
"""Rules that request a GPU."""

PRICES = {"e2-standard-2": 0.0670, "g2-standard-4": 0.7068}
"""On-demand prices in us-central1, US dollars per hour."""

PRICES_DATE = "as published during 2025"

BOOT = 90
"""Paid time before a job starts on a machine of Google Cloud, seconds; an estimate, because nothing was run there."""

STEP = 8
"""Time of Snakemake itself in each cluster job, seconds (measured on the Slurm of tests/integration)."""


@dataclass
class Measured:
    """Measurements of the jobs of one rule.

    Attributes:
        seconds: duration of each job.
        memory: highest peak memory of a job, MB.
        cores: mean CPU load, cores.
    """

    seconds: list[float]
    memory: float
    cores: float


def read(folder: Path) -> dict[str, Measured]:
    """Return the benchmarks of a run, by rule; without those of older versions and of `snakemake predict`."""
    found: dict[str, list[dict[str, str]]] = {}
    for file in sorted(folder.rglob("*.tsv")):
        rule = re.sub(r"\.tsv$", "", file.relative_to(folder).parts[0])
        if rule not in NEEDS:
            continue
        with file.open() as lines:
            found.setdefault(rule, []).extend(csv.DictReader(lines, delimiter="\t"))
    return {
        rule: Measured(
            [float(r["s"]) for r in rows],
            max(_number(r["max_rss"]) for r in rows),
            sum(_number(r["cpu_time"]) for r in rows) / max(0.01, sum(float(r["s"]) for r in rows)),
        )
        for rule, rows in found.items()
    }


def _number(text: str) -> float:
    return 0.0 if text in ("NA", "-") else float(text)


def scale(rule: str, m: Measured, hours: float, windows: int, epochs: int) -> float:
    """Return the total duration of a rule's jobs for the corpus of 114 species, with the epochs of the default settings, in seconds.

    Args:
        rule: its name.
        m: its jobs in the measured run.
        hours: hours of audio in that run.
        windows: windows in that run.
        epochs: epochs of that run.
    """
    total = sum(m.seconds)
    if rule in AUDIO:
        return total * HOURS / hours
    if rule in TRAINING:
        return total * WINDOWS * TrainSettings().epochs / (windows * epochs)
    return total * max(1.0, WINDOWS / windows) if rule in WINDOW else total


def table(rules: dict[str, Measured], hours: float, windows: int, epochs: int) -> tuple[str, dict[str, float]]:
    """Return the table of all rules as Markdown, and its sums."""
    lines = [
        "| rule | jobs | median s | peak MB | cores | 114 species: core-hours | on Google | $ on demand |",
        "|---|---|---|---|---|---|---|---|",
    ]
    sums = {"core_hours": 0.0, "dollars": 0.0, "seconds": 0.0, "gpu_hours": 0.0, "jobs": 0}
    for rule, m in sorted(rules.items(), key=lambda item: list(NEEDS).index(item[0])):
        jobs = len(m.seconds)
        seconds = scale(rule, m, hours, windows, epochs)
        local = rule in ("manifest", "pack")
        overhead = 0 if local else jobs * STEP
        threads = 2 if rule in TRAINING | {"latency"} else 1
        kind = "local" if local else machine(threads, NEEDS[rule].memory + SNAKEMAKE_MB, rule in GPU).name
        paid = 0.0 if local else (seconds + jobs * (BOOT + STEP)) / 3600 * PRICES[kind]
        core_hours = (seconds + overhead) * threads / 3600
        sums["core_hours"] += core_hours
        sums["dollars"] += paid
        sums["seconds"] += seconds + overhead
        sums["jobs"] += 0 if local else jobs
        sums["gpu_hours"] += (seconds + overhead) / 3600 if rule in GPU else 0
        memory = f"{m.memory:.0f}" if m.memory > 20 else "(too short to measure)"
        lines.append(
            f"| {rule} | {jobs} | {statistics.median(m.seconds):.1f} | {memory} | {m.cores:.1f} | {core_hours:.2f} | {kind} | {paid:.2f} |"
        )
    total = f"| sum | {sums['jobs']} | | | | {sums['core_hours']:.1f} | | {sums['dollars']:.2f} |"
    return "\n".join([*lines, total]), sums


def page(folder: Path) -> str:
    """Return the content of docs/costs.md."""
    name = folder.name
    results = folder.parent.parent
    catalogue = read_table(results / "features" / name / "corpus" / "catalogue.parquet", ["duration"])
    hours = catalogue["duration"].sum() / 3600
    windows = read_json(results / name / "dataset" / "counts.json")["windows"]
    epochs = read_json(results / name / "model" / "model.json")["train"]["epochs"]
    text, sums = table(read(folder), hours, windows, epochs)
    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    batch = AudioSizes([[round(1.6e9 / BATCHES)]]).megabytes("0")
    return f"""# Time, memory and cost

Measured by Snakemake's benchmarks in one run of `{name}` ({hours:.2f} h of audio in {len(catalogue)} recordings, {windows} windows,
{epochs} epochs) on two cores ({cpu or platform.processor()}), and scaled to the Kaggle corpus of 114 species ({HOURS} h, {WINDOWS:,}
windows). Decoding and features were scaled by hours of audio, training by windows times epochs (the default's {TrainSettings().epochs}), evaluation by windows.
`make costs` writes this page. The rule `download` synthesises the recordings of the demo; a local folder of recordings does not need it.

{text}

- **Slurm**: {sums["core_hours"]:.1f} core-hours, {sums["seconds"] / 3600:.1f} hours if the jobs ran one after another. {sums["gpu_hours"]:.1f} hours are in jobs that request a GPU; their duration is that on
  two CPU cores. The time of Snakemake itself is included ({STEP} s per job). Jobs that depend on each other wait 15 to 25 s more,
  because the profile queries their state every 15 s: about three minutes per run.
- **Google Cloud**: ${sums["dollars"]:.2f} on demand in us-central1 at list prices {PRICES_DATE} (e2-standard-2 ${PRICES["e2-standard-2"]:.4f}/h, g2-standard-4 with one L4
  ${PRICES["g2-standard-4"]:.4f}/h). The prices could not be checked when this was written: enter current ones in `PRICES` in scripts/costs.py. {BOOT} s per job are
  added for the start of its machine (an estimate). No L4 was available, so training is counted with its duration on two CPU cores: an
  upper bound. Spot machines, which the profile uses, cost 9 to 40 % of the on-demand price according to Google; the share changes
  monthly. Disks, about 3 GB of storage, and logging cost a few cents.
- **Requested memory** is higher than the measured memory: {SNAKEMAKE_MB} MB for Snakemake itself in each job, {NEEDS["segment"].memory} MB for `segment`, 4.5 MB per minute of its
  longest recording (measured on 60 minutes of ogg, mp3 and flac: 4.0), and 4 GB for CUDA on a GPU. A batch of this corpus would be {batch:.0f} MB of mp3.
"""


if __name__ == "__main__":
    (ROOT / "docs" / "costs.md").write_text(page(Path(sys.argv[1])), encoding="utf-8")
