"""What contract 4 promises to be the same bytes, and how to compare it."""

import hashlib
from pathlib import Path

EXEMPT = ("logs", "benchmarks", ".checkpoints", ".wandb", "latency.json", "comparison.png")
"""Folders and files of `results` whose bytes may differ (README, "The same bytes"): the last two are measured speeds."""


def promised(project: Path) -> dict[str, str]:
    """sha256 of every output below `results` that must not differ, by its path."""
    results = project / "results"
    files = [p for p in results.rglob("*") if p.is_file() and not p.name.endswith((".lock", ".html"))]
    return {
        str(p.relative_to(results)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(files)
        if not set(EXEMPT) & set(p.relative_to(results).parts)
    }
