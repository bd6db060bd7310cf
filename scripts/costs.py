"""Write docs/costs.md: what each rule took in a finished run, and what a corpus of 114 species would take.

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

HOURS, WINDOWS, EPOCHS = 28.1, 37_633, 18
"""The Kaggle corpus of 114 species: hours of sound, windows of 5 s every 2.5 s; and the epochs of the default recipe."""

BATCHES = 8

AUDIO = {"download", "recordings", "segment", "mel_shards"}
TRAINING = {"train", "prune"}
WINDOW = {"dataset", "score", "compare", "evaluate", "quantize", "bundle", "drift", "drift_current", "data_figures"}
"""What the time of a rule grows with; the others take what they take."""

GPU = {"train", "prune"}

PRICES = {"e2-standard-2": 0.0670, "g2-standard-4": 0.7068}
"""US dollars an hour on demand, us-central1."""

PRICES_OF = "as published during 2025"

BOOT = 90
"""Seconds that a machine of Google Cloud is paid for before its job begins: an estimate, nothing was run there."""

STEP = 8
"""Seconds that the Snakemakes of a cluster's job take around a stage (measured on the Slurm of tests/integration)."""


@dataclass
class Measured:
    """A rule's jobs in the run: seconds of each, highest memory in MB, mean load in cores."""

    seconds: list[float]
    memory: float
    cores: float


def read(folder: Path) -> dict[str, Measured]:
    """The benchmarks of a run by rule."""
    found: dict[str, list[dict[str, str]]] = {}
    for file in sorted(folder.rglob("*.tsv")):
        rule = re.sub(r"\.tsv$", "", file.relative_to(folder).parts[0])
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
    """Seconds of all of a rule's jobs for the large corpus."""
    total = sum(m.seconds)
    if rule in AUDIO:
        return total * HOURS / hours
    if rule in TRAINING:
        return total * WINDOWS * EPOCHS / (windows * epochs)
    return total * max(1.0, WINDOWS / windows) if rule in WINDOW else total


def table(rules: dict[str, Measured], hours: float, windows: int, epochs: int) -> tuple[str, dict[str, float]]:
    """The table, and its sums."""
    lines = [
        "| rule | jobs | median s | peak MB | cores | 114 species: core-hours | on Google | $ on demand |",
        "|---|---|---|---|---|---|---|---|",
    ]
    sums = {"core_hours": 0.0, "dollars": 0.0, "seconds": 0.0, "gpu_hours": 0.0, "jobs": 0}
    for rule, m in sorted(rules.items(), key=lambda item: list(NEEDS).index(item[0])):
        jobs = len(m.seconds)
        seconds = scale(rule, m, hours, windows, epochs)
        local = rule in ("rows", "pack")
        around = 0 if local else jobs * STEP
        threads = 2 if rule in TRAINING | {"latency"} else 1
        kind = "here" if local else machine(threads, NEEDS[rule].memory + SNAKEMAKE_MB, rule in GPU).name
        paid = 0.0 if local else (seconds + jobs * (BOOT + STEP)) / 3600 * PRICES[kind]
        core_hours = (seconds + around) * threads / 3600
        sums["core_hours"] += core_hours
        sums["dollars"] += paid
        sums["seconds"] += seconds + around
        sums["jobs"] += 0 if local else jobs
        sums["gpu_hours"] += (seconds + around) / 3600 if rule in GPU else 0
        memory = f"{m.memory:.0f}" if m.memory > 20 else "(too short to see)"
        lines.append(
            f"| {rule} | {jobs} | {statistics.median(m.seconds):.1f} | {memory} | {m.cores:.1f} | {core_hours:.2f} | {kind} | {paid:.2f} |"
        )
    total = f"| sum | {sums['jobs']} | | | | {sums['core_hours']:.1f} | | {sums['dollars']:.2f} |"
    return "\n".join([*lines, total]), sums


def page(folder: Path) -> str:
    """docs/costs.md."""
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
    return f"""# What it takes

Measured by Snakemake's benchmarks in one run of `{name}` ({hours:.2f} h of sound in {len(catalogue)} recordings, {windows} windows,
{epochs} epochs) on two cores ({cpu or platform.processor()}), and scaled to the Kaggle corpus of 114 species ({HOURS} h, {WINDOWS:,}
windows): decoding and features by hours of sound, training by windows times epochs, evaluation by windows. `make costs` writes this
page anew. Rule download synthesises the demo; a folder of recordings needs none.

{text}

- **Slurm**: {sums["core_hours"]:.1f} core-hours, {sums["seconds"] / 3600:.1f} hours if the jobs ran one after another; of them {sums["gpu_hours"]:.1f} in jobs that ask for a GPU,
  counted at the speed of two CPU cores. The Snakemakes of each job are in ({STEP} s). A level of the graph waits 15 to 25 s more with the
  profile's questions every 15 s: some three minutes a run.
- **Google Cloud**: ${sums["dollars"]:.2f} on demand in us-central1 at list prices {PRICES_OF} (e2-standard-2 ${PRICES["e2-standard-2"]:.4f}/h, g2-standard-4 with one L4
  ${PRICES["g2-standard-4"]:.4f}/h; they could not be looked up where this was written, so put in today's: `PRICES` in scripts/costs.py). {BOOT} s a job are
  for starting its machine (an estimate). Training is counted on the L4 at the speed of two CPU cores, as no L4 was at hand: an upper bound.
  The profile's spot machines cost a fraction of it (Google says 9 to 40 %, changing monthly). Disks, storage of about 3 GB and
  logging come to cents.
- **Asked for** is more than measured: {SNAKEMAKE_MB} MB for Snakemake beside each stage, {NEEDS["segment"].memory} MB for `segment` itself and 4.5 MB for each minute of its
  longest recording (60 minutes of ogg, mp3 and flac took 4.0), 4 GB for CUDA with a GPU. A batch of this corpus would be {batch:.0f} MB of mp3.
"""


if __name__ == "__main__":
    (ROOT / "docs" / "costs.md").write_text(page(Path(sys.argv[1])), encoding="utf-8")
