"""Profile of the CPU time from audio files to mel shards, of an earlier commit and of this one: docs/speed-profile.png.

git worktree add ../before a7abffc
python -m tests.benchmarks.profile_features ../before

Other files than those of the shared corpus need another output folder:
python -m tests.benchmarks.profile_features ../before --files a.wav b.mp3 --output /tmp
"""

import argparse
import cProfile
import json
import pstats
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESAMPLE = ("decode.py", "resample.py")
PARTS = ("decode", "mono", "resample", "statistics and hash", "landmarks", "mel and windows", "rest")


def before(paths: list[Path], out: Path) -> None:
    """The three stages of commit a7abffc, which decoded every file twice; names are those of that commit."""
    import numpy as np
    import pandas as pd
    from autobird.corpus.listing import ROWS

    from autobird.audio.mel_shards import mel_shard
    from autobird.audio.segment import segment
    from autobird.audio.settings import MelSettings, SegmentSettings
    from autobird.corpus.recordings import examine
    from autobird.corpus.settings import ExamineSettings

    found = []
    for path in paths:
        row = pd.Series(dict.fromkeys(ROWS, "") | {"recording": str(path), "species": "x"})
        facts, landmarks = examine(row, path, "", ExamineSettings())
        found.append(facts)
        if landmarks:
            landmarks.finish()
    segments = segment(pd.DataFrame(found), Path("/"), None, out / "p.npy", SegmentSettings())
    mel_shard(segments, np.load(out / "p.npy", mmap_mode="r"), out / "m.npy", MelSettings())


def after(paths: list[Path], out: Path) -> None:
    """The stages of this commit."""
    from tests.benchmarks.methods import stages

    stages(paths, out, near_duplicates=True)


def profiled(which: str, files: list[Path]) -> dict[str, float]:
    """Return the core-seconds of each part of `PARTS`.

    Args:
        which: `before` or `after`. The package of that commit must be the one that is imported.
        files: absolute paths of the audio files.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        run = before if which == "before" else after
        run(files[:3], Path(tempfile.mkdtemp(dir=folder)))
        profile = cProfile.Profile()
        profile.runcall(run, files, Path(tempfile.mkdtemp(dir=folder)))
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]

    def total(file: str | tuple[str, ...], name: str, caller: str | tuple[str, ...] = "", own: bool = False) -> float:
        """Return the seconds in a function with the functions that it calls, or without them (`own`).

        `caller` restricts them to calls from one file. Files that were renamed since `before` are given with both names.
        """
        seconds = 0.0
        for (path, _, function), (_, _, tt, ct, callers) in stats.items():
            if path.endswith(file) and function == name:
                if caller:
                    seconds += sum(v[3] for (p, _, _), v in callers.items() if p.endswith(caller))
                else:
                    seconds += tt if own else ct
        return seconds

    found = {
        "decode": total("soundfile.py", "_cdata_io", own=True) + total("soundfile.py", "seek"),
        "mono": total("downmix.py", "__call__") + total("~", "<method 'mean' of 'numpy.ndarray' objects>", "decode.py"),
        "resample": total("soxr/__init__.py", "resample_chunk"),
        "statistics and hash": total(("measures.py", "sample_statistics.py"), "add")
        + total("~", "<method 'update' of '_hashlib.HASH' objects>")
        + total(RESAMPLE, "to_int16"),
        "landmarks": total("landmarks.py", "add")
        + total("landmarks.py", "finish")
        - total("soxr/__init__.py", "resample_chunk", "landmarks.py")
        - (total(RESAMPLE, "finish", "landmarks.py") + total(RESAMPLE, "add", "landmarks.py")),
        "mel and windows": total("mel.py", "windows") + total("mel.py", "window_moments") + total("mel.py", "window_mean_std") + total("windows.py", "window_rms"),
    }  # fmt: skip
    whole = sum(tt for _, _, tt, _, _ in stats.values())
    return found | {"rest": whole - sum(found.values())}


def figure(results: dict[str, dict[str, float]], hours: float, path: Path) -> None:
    """Draw one bar per commit, divided into the parts."""
    from autobird.core import plots

    fig, axes = plots.figure(8, 3.1)
    ax = axes
    colours = [plots.BLUE, plots.ORANGE, plots.GREEN, "#cc79a7", "#e69f00", "#56b4e9", "#999999"]
    for row, which in enumerate(("after", "before")):
        left = 0.0
        for part, colour in zip(PARTS, colours, strict=True):
            seconds = results[which][part] / hours
            ax.barh(row, seconds, left=left, color=colour, label=part if row == 0 else None)
            if seconds > 0.25:
                ax.text(left + seconds / 2, row, f"{seconds:.1f}", ha="center", va="center", fontsize=8, color="white")
            left += seconds
        ax.text(left + 0.1, row, f"{left:.1f}", va="center", fontsize=9)
    ax.set_yticks([0, 1], ["after", "before"])
    ax.set_xlabel("core-seconds per hour of audio")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(ncols=4, fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.3))
    plots.save(fig, path)


def main() -> None:
    """Measure both commits three times, alternating, and draw the medians."""
    import statistics

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tree", type=Path, help="working tree of the earlier commit")
    p.add_argument("--files", type=Path, nargs="+", help="audio files (default: the mp3 files of the shared corpus)")
    p.add_argument("--output", type=Path, default=ROOT / "docs", help="folder of speed-profile.png and speed.json")
    args = p.parse_args()
    import soundfile

    sys.path.insert(0, str(ROOT / "scripts"))
    files = args.files
    if files is None:
        from tests.conftest import SHARED

        files = sorted((SHARED / "corpus").rglob("*.mp3"))
    names = [str(path.resolve()) for path in files]
    runs: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
    for _ in range(3):
        for which, tree in (("before", args.tree.resolve()), ("after", ROOT)):
            code = _MEASURE.format(paths=[str(tree / "scripts"), str(ROOT)], which=which, files=names)
            done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
            runs[which].append(json.loads(done.stdout))
    results = {which: {p: statistics.median(r[p] for r in found) for p in PARTS} for which, found in runs.items()}
    hours = sum(soundfile.info(name).duration for name in names) / 3600
    figure(results, hours, args.output / "speed-profile.png")
    rounded = {w: {p: round(s / hours, 2) for p, s in found.items()} for w, found in results.items()}
    table = args.output / "speed.json"
    kept = json.loads(table.read_text()) if table.exists() else {}
    kept["profile, core-seconds per hour"] = rounded
    table.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    print(json.dumps(rounded, indent=1))


_MEASURE = """
import json
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from tests.benchmarks.profile_features import profiled
print(json.dumps(profiled({which!r}, [Path(name) for name in {files!r}])))
"""

if __name__ == "__main__":
    main()
