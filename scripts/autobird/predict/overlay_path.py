"""Where the table is that changes the thresholds of a bundle; the Snakefile imports this module, so it must import quickly."""

from pathlib import Path


def overlay_path(folder: Path) -> Path:
    """Return the path of the table of a bundle: `<folder>.thresholds.csv`, beside the folder."""
    resolved = folder.resolve()
    return resolved.parent / f"{resolved.name}.thresholds.csv"
