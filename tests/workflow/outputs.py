"""Digests of the outputs that must be identical in every run with the same inputs (README, "What runs after a change")."""

import hashlib
from pathlib import Path

EXEMPT = ("logs", "benchmarks", ".checkpoints", ".wandb", "tracked.json", "profile", "latency.json", "comparison.png")
"""Folders and files of `results` whose bytes may differ. The last three contain measured speeds."""


def promised(project: Path) -> dict[str, str]:
    """sha256 of every output below `results` that must not differ between runs, by its path."""
    results = project / "results"
    files = [p for p in results.rglob("*") if p.is_file() and not p.name.endswith((".lock", ".html"))]
    return {
        str(p.relative_to(results)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(files)
        if not set(EXEMPT) & set(p.relative_to(results).parts)
    }
