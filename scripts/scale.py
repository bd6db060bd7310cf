"""Measure how time and memory of the corpus stages grow with the number of recordings, from simulated metadata.

Writes docs/scale.json, docs/scale.png and the table in docs/corpus.md. Only metadata are simulated, no audio: 10,000 species
and 300,000 recordists for a million recordings, in proportion for fewer, with frequencies as unequal as in real
collections. Each step runs in a process of its own, as in a run, and reports its time and its peak memory.

    python scripts/scale.py                                      # 1e3 to 1e6 recordings, some minutes
    python scripts/scale.py split --work FOLDER --table TABLE    # one step in a prepared folder; prints JSON
"""

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

# The modules of the package are imported by the functions that use them, so that the memory of a step is its own.

STEPS = ("listing", "catalogue", "split")
SIZES = (1_000, 10_000, 100_000, 1_000_000)
ADDED = 1_000
"""Number of recordings that are added to the largest corpus."""

DRY_RUN_BATCHES = (8, 100, 1000)

_HEADER = "url,species,id,recordist,date,location,lat,lon,licence,quality,sha256,duration\n"


def write_corpus(path: Path, count: int) -> None:
    """Write a table of metadata of `count` recordings, the same for the same count."""
    import numpy as np

    rng = np.random.default_rng(1)
    total = max(count, 1000)
    species = _unequal_kinds(rng, total, max(10, total // 100))
    recordist = _unequal_kinds(rng, total, max(10, 3 * total // 10))
    day, place = rng.integers(0, 3650, total), rng.integers(0, 40, total)
    lat, lon = rng.uniform(-60, 70, total), rng.uniform(-180, 180, total)
    licence = rng.choice(["by-nc-sa/4.0", "by-nc-nd/4.0", "by/4.0"], total, p=(0.65, 0.28, 0.07))
    seconds = rng.lognormal(3.4, 0.8, total)
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEADER)
        for i in range(count):
            digest = hashlib.sha256(str(i).encode()).hexdigest()
            date = f"{2010 + day[i] // 365}-{day[i] % 365 // 31 + 1:02d}-{day[i] % 28 + 1:02d}"
            file.write(
                f"https://sounds.example/{i}.mp3,Genus{species[i] // 10} species{species[i]},{i},Recordist {recordist[i]},{date},"
                f"Place {recordist[i]}-{place[i]},{lat[i]:.4f},{lon[i]:.4f},//creativecommons.org/licenses/{licence[i]}/,"
                f"{'ABCDE'[i % 5]},{digest},{seconds[i]:.2f}\n"
            )


def _unequal_kinds(rng: Any, count: int, kinds: int) -> Any:
    """Return one of `kinds` for each of `count` recordings: each kind at least once, the others by a power law."""
    import numpy as np

    weights = 1 / np.arange(1, kinds + 1) ** 0.7
    others = rng.choice(kinds, count - kinds, p=weights / weights.sum()) if count > kinds else np.zeros(0, int)
    return rng.permutation(np.concatenate([np.arange(kinds), others])[:count])


def batches_for(count: int) -> int:
    """Return the number of batches for 1,000 recordings per batch, within the limits of the setting."""
    return min(1000, max(8, count // 1000))


def listing(table: Path, folder: Path) -> dict[str, Any]:
    """List the source, assign its recordings to batches and store the tables, as the Snakefile does when it is parsed."""
    from autobird.corpus.settings import CorpusSettings
    from autobird.sources.listing import CORPUS_TABLES, Listing
    from autobird.sources.select import source_of

    with table.open(encoding="utf-8") as file:
        count = sum(1 for _ in file) - 1
    settings = CorpusSettings(type="table", table=str(table), batches=batches_for(count))
    listed = Listing(source_of(settings, folder / "cache.sqlite"), settings)
    listed.check()
    tables = (*map(str, range(settings.batches)), *CORPUS_TABLES)
    digests = {name: listed.manifests.digest(name) for name in tables}
    listed.manifests.store(folder)
    return {"digests": digests}


def _recordings(table: Path) -> Any:
    """Return a table of `RECORDINGS` as if all recordings had been decoded."""
    import pandas as pd

    from autobird.corpus.schemas import RECORDINGS

    metadata = pd.read_csv(table, dtype=str, keep_default_na=False)
    recordings = pd.DataFrame(
        {"recording": metadata["id"], "species": metadata["species"], "location": metadata["url"]}
    )
    recordings["file_sha256"] = recordings["sound_sha256"] = metadata["sha256"]
    recordings["duration"] = metadata["duration"].astype(float)
    for field in RECORDINGS:
        if field.name not in recordings:
            recordings[field.name] = "" if field.type == "string" else 0
    recordings["status"], recordings["codec"] = "ok", "MP3 MPEG_LAYER_III"
    return recordings[RECORDINGS.names]


def prepare(table: Path, folder: Path, digests: dict[str, str]) -> None:
    """Write the inputs of the steps after the listing: tables of recordings, metadata, near-duplicates, quarantine."""
    from autobird.core.hashing import batch_of
    from autobird.core.tables import write_table
    from autobird.corpus.schemas import RECORDINGS

    recordings = _recordings(table)
    batches = batches_for(len(recordings))
    (folder / "recordings").mkdir(exist_ok=True)
    for batch, rows in recordings.groupby(recordings["recording"].map(lambda name: batch_of(name, batches))):
        write_table(folder / f"recordings/{batch:03d}.parquet", rows, RECORDINGS)
    for name in ("grouping", "details", "exclusions", "kinds"):
        shutil.copy(folder / digests[name], folder / f"{name}.csv")
    (folder / "near_duplicates.csv").write_text("recording,other,votes,offset,species,other_species\n")


def catalogue(folder: Path) -> dict[str, Any]:
    """Run the stages `quarantine` and `catalogue`."""
    from autobird.corpus import catalogue as catalogue_stage
    from autobird.corpus import quarantine

    recordings = ["--recordings", *map(str, sorted((folder / "recordings").iterdir()))]
    quarantine.main(
        [
            *recordings,
            *_options(
                folder,
                exclusions="exclusions.csv",
                near_duplicates="near_duplicates.csv",
                kinds="kinds.csv",
                output="q.csv",
            ),
        ]
    )
    files = {
        "grouping": "grouping.csv", "details": "details.csv", "kinds": "kinds.csv", "quarantine": "q.csv", "catalogue": "catalogue.parquet",
        "attribution": "a.csv", "page": "a.md", "licences": "l.json",
    }  # fmt: skip
    catalogue_stage.main([*recordings, *_options(folder, **files)])
    return {}


def _options(folder: Path, **files: str) -> list[str]:
    """Return the command-line options of a stage for files in `folder`."""
    options = files | {"log": "log"}
    return [text for name, file in options.items() for text in (f"--{name.replace('_', '-')}", str(folder / file))]


def split(folder: Path) -> dict[str, Any]:
    """Compute groups, splits and leakage as the stage `dataset` does."""
    from autobird.core.tables import read_tables, read_text_csv
    from autobird.dataset.groups import group_keys, near_duplicate_clusters
    from autobird.dataset.leakage import measure_leakage
    from autobird.dataset.recorders import COLUMNS, recorder_sessions
    from autobird.dataset.settings import SplitSettings
    from autobird.dataset.split import assign_splits

    table = read_tables(sorted((folder / "recordings").iterdir()), [*COLUMNS, "file_sha256", "sound_sha256"])
    grouping, pairs = read_text_csv(folder / "grouping.csv"), read_text_csv(folder / "near_duplicates.csv")
    recorders = recorder_sessions(table, grouping)
    table["group"] = table["recording"].map(group_keys(table, grouping, pairs, recorders))
    settings = SplitSettings()
    assigned = assign_splits(table.assign(split=""), settings)
    table["split"] = table["group"].map(assigned)
    lists = table.assign(species=[[name] for name in table["species"]])
    measure_leakage(lists, grouping, recorders, near_duplicate_clusters(pairs), settings.seed)
    table[["recording", "split"]].to_parquet(folder / "split.parquet")
    return {"groups": len(assigned), "species": int(table["species"].nunique())}


def run_step(step: str, table: Path, folder: Path) -> dict[str, Any]:
    """Run one step, and return its time, its peak memory and its result."""
    start = time.monotonic()
    result = listing(table, folder) if step == "listing" else {"catalogue": catalogue, "split": split}[step](folder)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(time.monotonic() - start, 2), "mb": round(peak_mb), **result}


def run_in_process(step: str, table: Path, folder: Path) -> dict[str, Any]:
    """Run one step in a new process; see `run_step`."""
    command = [sys.executable, __file__, step, "--work", str(folder), "--table", str(table)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure_size(count: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Run all steps on a corpus of `count` recordings."""
    table = folder / "birds.csv"
    write_corpus(table, count)
    results = {"listing": run_in_process("listing", table, folder)}
    prepare(table, folder, results["listing"].pop("digests"))
    return results | {step: run_in_process(step, table, folder) for step in STEPS[1:]}


def measure_addition(count: int, folder: Path) -> dict[str, Any]:
    """Count the batches that run again, and the recordings that move to another split, if `ADDED` recordings are added."""
    import pandas as pd

    table = folder / "birds.csv"
    write_corpus(table, count + ADDED)
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    digests, splits = [], []
    for name, number in (("before", count), ("after", count + ADDED)):
        subfolder = folder / name
        subfolder.mkdir()
        birds = subfolder / "birds.csv"
        birds.write_text("".join(lines[: number + 1]), encoding="utf-8")
        digests.append(run_in_process("listing", birds, subfolder).pop("digests"))
        prepare(birds, subfolder, digests[-1])
        run_in_process("split", birds, subfolder)
        splits.append(pd.read_parquet(subfolder / "split.parquet").set_index("recording")["split"])
    before, after = splits
    changed_batches = sum(digests[0][name] != digests[1].get(name) for name in digests[0] if name.isdigit())
    moved = int((after[before.index] != before).sum())
    return {
        "recordings": count, "added": ADDED, "batches": batches_for(count), "batches_again": changed_batches,
        "moved": moved, "moved_share": moved / count,
    }  # fmt: skip


def time_dry_run(batches: int) -> dict[str, float]:
    """Return the seconds that `snakemake -n` needs for a demo with `batches` batches."""
    command = [
        sys.executable, "-m", "snakemake", "-n", "--quiet", "all", "--configfile", str(ROOT / "config/test.yaml"), "--config",
        f"corpus={{batches: {batches}, demo: {{species: 10, recordings: 300}}}}", "--directory",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        subprocess.run([*command, folder], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
    return {"batches": batches, "seconds": round(seconds, 1)}


def figure(results: dict[str, Any], path: Path) -> None:
    """Draw time and memory over the number of recordings."""
    from autobird.core import plots

    fig, axes = plots.figure(9, 3.6, columns=2)
    sizes = [int(size) for size in results["sizes"]]
    for step, colour in zip(STEPS, (plots.BLUE, plots.GREEN, plots.ORANGE), strict=True):
        runs = [results["sizes"][str(size)][step] for size in sizes]
        for ax, key in zip(axes, ("seconds", "mb"), strict=True):
            ax.plot(sizes, [run[key] for run in runs], "o-", color=colour, label=step)
    for ax, label, limit in zip(axes, ("seconds", "peak memory, MB"), (60, 2000), strict=True):
        ax.axhline(limit, color=plots.GREY, linestyle="--", linewidth=1, label="goal: 60 s, 2,000 MB")
        plots.make_logarithmic(ax, "x", "recordings", most=5)
        plots.make_logarithmic(ax, "y", label)
    axes[0].legend()
    plots.save(fig, path)


def markdown(results: dict[str, Any]) -> str:
    """Return the table in docs/corpus.md, and the sentence below it."""
    sizes, added = results["sizes"], results["added"]
    lines = ["| recordings | " + " | ".join(f"{int(size):,}" for size in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for step in STEPS:
        cells = [f"{runs[step]['seconds']:.1f}, {runs[step]['mb']:,}" for runs in sizes.values()]
        lines.append(f"| `{step}`: s, MB | " + " | ".join(cells) + " |")
    dry_runs = ", ".join(f"{run['seconds']} s with {run['batches']:,} batches" for run in results["dry_run"])
    sentence = (
        f"If {added['added']:,} recordings are added to {added['recordings']:,} in {added['batches']:,} batches, "
        f"{added['batches_again']} batches run again (those that get at least one of the added recordings), and {added['moved']} of the "
        f"other recordings move to another split. `snakemake -n` takes {dry_runs}."
    )
    return "\n".join([*lines, "", sentence])


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("step", nargs="?", choices=STEPS)
    p.add_argument("--work", type=Path)
    p.add_argument("--table", type=Path)
    args = p.parse_args()
    if args.step:
        print(json.dumps(run_step(args.step, args.table, args.work)))
        return
    results: dict[str, Any] = {"cores": os.cpu_count(), "sizes": {}}
    for count in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            results["sizes"][str(count)] = measure_size(count, Path(folder))
            print(count, results["sizes"][str(count)], file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        results["added"] = measure_addition(SIZES[-1], Path(folder))
        print(results["added"], file=sys.stderr)
    results["dry_run"] = [time_dry_run(batches) for batches in DRY_RUN_BATCHES]
    (ROOT / "docs/scale.json").write_text(json.dumps(results, indent=2) + "\n")
    figure(results, ROOT / "docs/scale.png")
    page = ROOT / "docs/corpus.md"
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"(?s)(<!-- scale -->\n).*?(<!-- /scale -->)", lambda m: f"{m[1]}{markdown(results)}\n{m[2]}", text)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
