"""The figure and the tables of docs/growth.md, from docs/growth.json."""

import re
from pathlib import Path
from typing import Any

from autobird.core import plots

STAGES = {
    "near_duplicates": ("landmark_votes + near_duplicates", plots.BLUE),
    "dataset": ("dataset", plots.GREEN),
}
READING = {
    "train": ("training: windows read", plots.BLUE),
    "score": ("score without its network", plots.GREEN),
    "evaluate": ("evaluation: test split", plots.ORANGE),
}
GOAL = 100_000, {"cpu": 30 * 60 * 2, "mb": 4_000}
"""Recordings, and the processor time (30 minutes on two cores) and memory that the stages of the corpus may need together."""

Point = tuple[int, float, bool]
"""Number of recordings, value, and whether it is estimated, or that of `landmark_votes` alone."""


def estimate(run: dict[str, Any]) -> dict[str, float]:
    """Return the estimate of `landmark_votes` from one range of hashes."""
    return {"cpu": run["one_range"]["cpu"] / run["one_range"]["share"], "mb": 2 * run["one_range"]["mb"]}


def points(sizes: dict[str, Any], name: str, key: str) -> list[Point]:
    """Return the values of a stage, or a step of reading, by number of recordings."""
    found: list[Point] = []
    for size, run in sizes.items():
        if name == "near_duplicates" and "landmark_votes" in run:
            parts = [run[stage][key] for stage in ("landmark_votes", "near_duplicates") if stage in run]
            found.append((int(size), sum(parts) if key == "cpu" else max(parts), len(parts) == 1))
        elif name == "near_duplicates" and "one_range" in run:
            found.append((int(size), estimate(run)[key], True))
        elif name in run:
            found.append((int(size), run[name][key], False))
    return sorted(found)


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw processor time and peak memory over the number of recordings: above the stages of the corpus, below what reads the windows."""
    fig, axes = plots.figure(9, 7.4, rows=2, columns=2, sharex=True)
    for row, steps in zip(axes, (STAGES, READING), strict=True):
        for ax, key in zip(row, ("cpu", "mb"), strict=True):
            for name, (label, colour) in steps.items():
                for sizes, style, suffix in (
                    (results["sizes"], "o-", ""),
                    (results.get("former", {}), "s--", ", former code"),
                ):
                    found = points(sizes, name, key)
                    if not found:
                        continue
                    x, y, _ = zip(*found, strict=True)
                    ax.plot(
                        x,
                        y,
                        style,
                        color=colour,
                        label=label + suffix,
                        markersize=5,
                        markerfacecolor="white" if suffix else colour,
                    )
                    part = [p[:2] for p in found if p[2]]
                    if part:
                        x, y = zip(*part, strict=True)
                        ax.plot(
                            x, y, "o", color=colour, markersize=9, markerfacecolor="none", label="landmark_votes alone"
                        )
            if steps is STAGES:
                ax.plot(GOAL[0], GOAL[1][key], "_", color=plots.GREY, markersize=30, markeredgewidth=2)
                ax.annotate(
                    "limit for all stages",
                    (GOAL[0], GOAL[1][key]),
                    (0, 5),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
            ax.margins(y=0.1)
            plots.make_logarithmic(ax, "y", "processor time, s" if key == "cpu" else "peak memory, MB")
        row[0].legend(fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1))
    for ax in axes[1]:
        plots.make_logarithmic(ax, "x", "recordings", most=5)
    plots.save(fig, path)


def markdown(results: dict[str, Any]) -> str:
    """Return the tables of docs/growth.md."""
    sizes = {int(size): run for size, run in sorted(results["sizes"].items(), key=lambda item: int(item[0]))}
    lines = ["| recordings | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]

    def row(name: str, cells: list[str]) -> None:
        lines.append(f"| {name} | " + " | ".join(cells) + " |")

    def cell(found: dict[str, float] | None) -> str:
        return f"{found['cpu']:,.0f}, {found['mb']:,.0f}" if found else "-"

    row(
        "`landmark_votes`, all jobs",
        [
            cell(run.get("landmark_votes")) if "landmark_votes" in run else f"about {cell(estimate(run))}"
            for run in sizes.values()
        ],
    )
    for name, label in (
        ("near_duplicates", "`near_duplicates`"), ("dataset", "`dataset`"), ("train", "reading for training"), ("score", "`score`"),
        ("evaluate", "reading for evaluation"),
    ):  # fmt: skip
        row(label, [cell(run.get(name)) for run in sizes.values()])
    former = results.get("former", {})
    for name, label in (
        ("near_duplicates", "former `near_duplicates`"), ("dataset", "former `dataset`"), ("train", "former reading for training"),
        ("score", "former `score`"), ("evaluate", "former reading for evaluation"),
    ):  # fmt: skip
        row(label, [cell(former.get(str(size), {}).get(name)) for size in sizes])
    row(
        "landmarks, votes (files, MB)",
        [f"{run['landmarks_mb']:,}, {run['votes_mb']:,}" if "votes_mb" in run else "-" for run in sizes.values()],
    )
    pairs = [run.get("pairs") for run in sizes.values()]
    row(
        "hidden pairs found",
        [
            f"{p['found']:,} of {p['possible']:,}" + (f", {p['more']} more" if p["more"] else "") if p else "-"
            for p in pairs
        ],
    )
    row("wrong pairs with a real recording", [f"{p['wrong']:,}" if p else "-" for p in pairs])
    row("pairs of two simulated recordings", [f"{p['simulated']:,}" if p else "-" for p in pairs])
    lines += [
        "",
        "| recall of modified copies | " + " | ".join(f"{size:,}" for size in sizes) + " |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    for name in next(p for p in pairs if p)["recall"]:
        row(name, [f"{p['recall'][name]:.3f}" if p else "-" for p in pairs])
    for species, runs in results.get("logits", {}).items():
        lines += [
            "",
            *logits_table(int(species), [run for _, run in sorted(runs.items(), key=lambda item: int(item[0]))]),
        ]
    return "\n".join(lines)


def logits_table(species: int, runs: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table of what computes and reads logits, by number of windows."""
    lines = [
        f"| windows of validation and test, {species:,} species | "
        + " | ".join(f"{run['windows']:,}" for run in runs)
        + " |",
        "|---" * (len(runs) + 1) + "|",
    ]
    for name, label in (
        ("score", "`score`"), ("former_score", "former `score`"), ("evaluate", "reading for evaluation"),
    ):  # fmt: skip
        cells = [f"{run[name]['cpu']:,.0f}, {run[name]['mb']:,.0f}" if name in run else "-" for run in runs]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    ratios = [f"{run['former_score']['mb'] / run['score']['mb']:.1f}" if "former_score" in run else "-" for run in runs]
    lines.append("| memory of the former `score` / memory of `score` | " + " | ".join(ratios) + " |")
    return lines


def write_documents(results: dict[str, Any], folder: Path) -> None:
    """Write the figure, and the tables between their marks."""
    draw(results, folder / "growth.png")
    page = folder / "growth.md"
    text = page.read_text(encoding="utf-8")
    marked = re.sub(
        r"(?s)(<!-- growth -->\n).*?(<!-- /growth -->)", lambda m: f"{m[1]}{markdown(results)}\n{m[2]}", text
    )
    page.write_text(marked, encoding="utf-8")
