"""How the corpus stage grows with the number of recordings: docs/scale.*, and a table in docs/corpus.md, from simulated metadata.

Only what people know about recordings is simulated, no sound: 10,000 species and 300,000 recordists for a million
recordings, in proportion for fewer, both as unequal as in real collections. Each step runs in a process of its own, as
in a run, and tells its time and its peak memory.

    python scripts/scale.py                 # 1e3 to 1e6, some minutes; writes docs/scale.*
    python scripts/scale.py listing 1e5     # one step, as JSON
"""

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

STEPS = ("listing", "catalogue", "split")
SIZES = (1_000, 10_000, 100_000, 1_000_000)
MORE = 1_000
"""Recordings that are added afterwards."""

_HEADER = "url,species,id,recordist,date,location,lat,lon,licence,quality,sha256,duration\n"


def write_corpus(path: Path, count: int) -> None:
    """A table of `count` recordings; the first n lines are the same for any larger count but for their proportions."""
    import numpy as np

    rng = np.random.default_rng(1)
    total = max(count, 1000)
    species = _unequal(rng, total, max(10, total // 100))
    recordist = _unequal(rng, total, max(10, 3 * total // 10))
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


def _unequal(rng, count: int, kinds: int):  # type: ignore[no-untyped-def]
    """One of `kinds` for each of `count`: every kind once, the rest by a power law."""
    import numpy as np

    weights = 1 / np.arange(1, kinds + 1) ** 0.7
    rest = rng.choice(kinds, count - kinds, p=weights / weights.sum()) if count > kinds else np.zeros(0, int)
    return rng.permutation(np.concatenate([np.arange(kinds), rest])[:count])


def corpus_settings(table: Path, batches: int):  # type: ignore[no-untyped-def]
    """A run on that table."""
    from autobird.corpus.settings import CorpusSettings

    return CorpusSettings(type="table", table=str(table), batches=batches)


def batches_for(count: int) -> int:
    """1,000 recordings a batch, as far as the settings go."""
    return min(1000, max(8, count // 1000))


def listing(table: Path, kept: Path, count: int) -> dict[str, object]:
    """What the Snakefile does while it is parsed: list the source, deal it into batches, keep the tables."""
    from autobird.sources.listing import CORPUS_TABLES, Listing
    from autobird.sources.select import source_of

    settings = corpus_settings(table, batches_for(count))
    found = Listing(source_of(settings, kept / "cache.sqlite"), settings)
    found.check()
    tables = (*map(str, range(settings.batches)), *CORPUS_TABLES)
    digests = {t: found.manifests.digest(t) for t in tables}
    found.manifests.store(kept)
    return {"digests": digests}


def _recordings(table: Path):  # type: ignore[no-untyped-def]
    """The tables of all batches as they would be after decoding, and what the source knows."""
    import pandas as pd

    from autobird.corpus.schemas import RECORDINGS

    known = pd.read_csv(table, dtype=str, keep_default_na=False)
    found = pd.DataFrame({"recording": known["id"], "species": known["species"], "location": known["url"]})
    found["file_sha256"] = found["sound_sha256"] = known["sha256"]
    found["duration"] = known["duration"].astype(float)
    for field in RECORDINGS:
        if field.name not in found:
            found[field.name] = "" if field.type == "string" else 0
    found["status"], found["codec"] = "ok", "MP3 MPEG_LAYER_III"
    return found[RECORDINGS.names]


def prepare(table: Path, work: Path) -> None:
    """What the steps read: the recordings in parquet, and the tables by their names."""
    import shutil

    from autobird.core.hashing import batch_of
    from autobird.core.tables import write_table
    from autobird.corpus.schemas import RECORDINGS

    recordings = _recordings(table)
    batches = batches_for(len(recordings))
    (work / "recordings").mkdir(exist_ok=True)
    for batch, part in recordings.groupby(recordings["recording"].map(lambda r: batch_of(r, batches))):
        write_table(work / f"recordings/{batch:03d}.parquet", part, RECORDINGS)
    digests = json.loads((work / "digests.json").read_text())
    for name in ("grouping", "details", "exclusions"):
        shutil.copy(work / digests[name], work / f"{name}.csv")
    (work / "near_duplicates.csv").write_text("recording,other,votes,offset,species,other_species\n")
    (work / "quarantine.csv").write_text("recording,species,reason\n")


def catalogue(work: Path) -> dict[str, object]:
    """The stages `quarantine` and `catalogue`."""
    from autobird.corpus import catalogue as stage
    from autobird.corpus import quarantine

    recordings = ["--recordings", *map(str, sorted((work / "recordings").iterdir()))]
    quarantine.main(
        [*recordings, "--exclusions", str(work / "exclusions.csv"), "--near-duplicates", str(work / "near_duplicates.csv"),
         "--output", str(work / "q.csv"), "--log", str(work / "log")]
    )  # fmt: skip
    options = {
        "grouping": "grouping.csv", "details": "details.csv", "quarantine": "q.csv", "catalogue": "catalogue.parquet",
        "attribution": "a.csv", "page": "a.md", "licences": "l.json", "log": "log",
    }  # fmt: skip
    stage.main([*recordings, *(x for name, file in options.items() for x in (f"--{name}", str(work / file)))])
    return {}


def split(work: Path) -> dict[str, object]:
    """Groups, splits and leakage, as the stage `dataset` makes them."""
    from autobird.core.tables import read_tables, read_text_csv
    from autobird.dataset.groups import clusters, group_keys
    from autobird.dataset.leakage import leakage
    from autobird.dataset.recorders import COLUMNS, recorder_sessions
    from autobird.dataset.settings import SplitSettings
    from autobird.dataset.split import deal

    table = read_tables(sorted((work / "recordings").iterdir()), [*COLUMNS, "file_sha256", "sound_sha256"])
    grouping, pairs = read_text_csv(work / "grouping.csv"), read_text_csv(work / "near_duplicates.csv")
    recorders = recorder_sessions(table, grouping)
    table["group"] = table["recording"].map(group_keys(table, grouping, pairs, recorders))
    where = deal(table.assign(split=""), SplitSettings())
    table["split"] = table["group"].map(where)
    leakage(table, grouping, recorders, clusters(pairs), 4)
    table[["recording", "split"]].to_parquet(work / "split.parquet")
    return {"groups": len(where), "species": int(table["species"].nunique())}


def measured(step: str, count: int, work: Path, table: Path) -> dict[str, object]:
    """Run one step in a process of its own; its time, its peak memory, and what it found."""
    command = [sys.executable, __file__, step, str(count), "--work", str(work), "--table", str(table)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def simulate(count: int, work: Path) -> dict[str, dict[str, object]]:
    """All steps on a corpus of `count` recordings."""
    table = work / "birds.csv"
    write_corpus(table, count)
    found = {"listing": measured("listing", count, work, table)}
    (work / "digests.json").write_text(json.dumps(found["listing"].pop("digests")))
    prepare(table, work)
    return found | {step: measured(step, count, work, table) for step in STEPS[1:]}


def added(count: int, folder: Path) -> dict[str, object]:
    """What `MORE` more recordings change: batches that run again, and recordings that move between splits."""
    import pandas as pd

    works = [folder / "before", folder / "after"]
    table = folder / "birds.csv"
    write_corpus(table, count + MORE)
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    digests, splits = [], []
    for work, number in zip(works, (count, count + MORE), strict=True):
        work.mkdir()
        (work / "birds.csv").write_text("".join(lines[: number + 1]), encoding="utf-8")
        digests.append(measured("listing", count, work, work / "birds.csv").pop("digests"))
        (work / "digests.json").write_text(json.dumps(digests[-1]))
        prepare(work / "birds.csv", work)
        measured("split", count, work, work / "birds.csv")
        splits.append(pd.read_parquet(work / "split.parquet").set_index("recording")["split"])
    before, after = splits
    changed = sum(digests[0][t] != digests[1][t] for t in digests[0] if t.isdigit())
    moved = int((after[before.index] != before).sum())
    return {
        "recordings": count, "added": MORE, "batches": batches_for(count), "batches_again": changed,
        "moved": moved, "moved_share": moved / count,
    }  # fmt: skip


def dry_run(batches: int) -> dict[str, float]:
    """Seconds and MB of `snakemake -n` on a demo that falls into so many batches."""
    command = [
        sys.executable, "-m", "snakemake", "-n", "--quiet", "all", "--configfile", str(ROOT / "config/test.yaml"), "--config",
        f"corpus={{batches: {batches}, demo: {{species: 10, recordings: 300}}}}", "--directory",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        subprocess.run([*command, folder], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
    return {"batches": batches, "seconds": round(seconds, 1)}


def figure(results: dict[str, object], path: Path) -> None:
    """Time and memory over the number of recordings."""
    from autobird.core import plots

    fig, axes = plots.figure(9, 3.6, columns=2)
    sizes = [int(s) for s in results["sizes"]]  # type: ignore[attr-defined]
    for step, colour in zip(STEPS, (plots.BLUE, plots.GREEN, plots.ORANGE), strict=True):
        runs = [results["sizes"][str(n)][step] for n in sizes]  # type: ignore[index]
        for ax, key in zip(axes, ("seconds", "mb"), strict=True):
            ax.plot(sizes, [r[key] for r in runs], "o-", color=colour, label=step)
    for ax, what, bound in zip(axes, ("seconds", "peak memory, MB"), (60, 2000), strict=True):
        ax.axhline(bound, color=plots.GREY, linestyle="--", linewidth=1)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("recordings")
        ax.set_ylabel(what)
    axes[0].legend()
    plots.save(fig, path)


def table(results: dict[str, object]) -> str:
    """The rows of the table in docs/corpus.md."""
    sizes = results["sizes"]
    lines = [
        f"| `{step}`: s, MB | "
        + " | ".join(f"{run[step]['seconds']:.1f}, {run[step]['mb']:,}" for run in sizes.values())
        + " |"  # type: ignore[attr-defined]
        for step in STEPS
    ]
    more, runs = results["added"], results["dry_run"]
    return "\n".join(
        [
            "| recordings | " + " | ".join(f"{int(n):,}" for n in sizes) + " |",  # type: ignore[attr-defined]
            "|---" * (len(SIZES) + 1) + "|",
            *lines,
            "",
            f"{more['added']:,} recordings added to {more['recordings']:,} in {more['batches']:,} batches: "  # type: ignore[index]
            f"{more['batches_again']} batches run again "  # type: ignore[index]
            f"(they fall into no more), and {more['moved']} of the others move between splits. `snakemake -n` takes "  # type: ignore[index]
            + ", ".join(f"{run['seconds']} s on {run['batches']:,} batches" for run in runs)
            + ".",  # type: ignore[attr-defined]
        ]
    )


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("step", nargs="?", choices=STEPS)
    p.add_argument("count", nargs="?", type=lambda text: int(float(text)))
    p.add_argument("--work", type=Path)
    p.add_argument("--table", type=Path)
    args = p.parse_args()
    if args.step:
        start = time.monotonic()
        done = (
            listing(args.table, args.work, args.count)
            if args.step == "listing"
            else {"catalogue": catalogue, "split": split}[args.step](args.work)
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": round(time.monotonic() - start, 2), "mb": round(peak), **done}))
        return
    results: dict[str, object] = {"cores": os.cpu_count(), "sizes": {}}
    for count in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            results["sizes"][str(count)] = simulate(count, Path(folder))  # type: ignore[index]
            print(count, results["sizes"][str(count)], file=sys.stderr)  # type: ignore[index]
    with tempfile.TemporaryDirectory() as folder:
        results["added"] = added(SIZES[-1], Path(folder))
        print(results["added"], file=sys.stderr)
    results["dry_run"] = [dry_run(b) for b in (8, 100, 1000)]
    (ROOT / "docs/scale.json").write_text(json.dumps(results, indent=2) + "\n")
    figure(results, ROOT / "docs/scale.png")
    page = ROOT / "docs/corpus.md"
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"(?s)(<!-- scale -->\n).*?(<!-- /scale -->)", lambda m: f"{m[1]}{table(results)}\n{m[2]}", text)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
