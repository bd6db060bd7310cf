"""Format prediction results as a text table, JSON or CSV."""

import json
from collections.abc import Sequence
from typing import Any

from autobird.core.files import csv_text
from autobird.predict.bundle import Bundle
from autobird.predict.files import FileResult

CSV_COLUMNS = ("file", "start", "end", "species", "probability")
"""Columns of the CSV; start and end in seconds, and the highest calibrated probability of the windows in between."""


def as_json(bundle: Bundle, results: Sequence[FileResult]) -> str:
    """Return one JSON document with all files; a skipped file has an `error` instead of results."""
    value: dict[str, Any] = {
        "bundle": {"name": bundle.name, "variant": bundle.variant, "fingerprint": bundle.fingerprint},
        "files": [_file_json(r, bundle.labels) for r in results],
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _file_json(result: FileResult, labels: Sequence[str]) -> dict[str, Any]:
    if result.error:
        return {"file": result.file, "error": result.error}
    best = result.species
    value: dict[str, Any] = {
        "file": result.file,
        "duration": round(result.duration, 3),
        "species": None if best is None else {"species": best[0], "probability": round(best[1], 4)},
        "detections": [
            {"start": d.start, "end": d.end, "species": d.species, "probability": round(d.probability, 4)}
            for d in result.detections
        ],
        "probabilities": _by_species(result.probabilities, labels),
    }
    if result.windows is not None:
        value["windows"] = [
            {
                "start": w.start,
                "end": w.end,
                "quiet": w.quiet,
                "detected": w.detected,
                "probabilities": _by_species(w.probabilities, labels),
            }
            for w in result.windows
        ]
    return value


def _by_species(probabilities: Sequence[float], labels: Sequence[str]) -> dict[str, float]:
    """Return probabilities by species, not rounded so that their order is kept; empty if there are none."""
    return dict(zip(labels, probabilities, strict=True)) if probabilities else {}


def as_csv(results: Sequence[FileResult]) -> str:
    """Return the detections as CSV, one row per detection."""
    rows = [list(CSV_COLUMNS)]
    rows += [
        [r.file, f"{d.start:g}", f"{d.end:g}", d.species, f"{d.probability:.4f}"] for r in results for d in r.detections
    ]
    return csv_text(rows)


def as_table(results: Sequence[FileResult]) -> str:
    """Return the detections of each file as text for the terminal."""
    lines = []
    width = max((len(d.species) for r in results for d in r.detections), default=0)
    for r in results:
        lines.append(f"{r.file}  ({clock(r.duration)})" if not r.error else f"{r.file}")
        if r.error:
            lines.append(f"    skipped: {r.error}")
        elif not r.detections:
            lines.append(f"    {'no species reaches its threshold' if r.species else 'the whole recording is quiet'}")
        for d in r.detections:
            lines.append(f"    {clock(d.start):>8} - {clock(d.end):<8}  {d.species:<{width}}  {d.probability:.2f}")
    return "\n".join(lines) + "\n"


def clock(seconds: float) -> str:
    """Return seconds as `1:02:03.5`, or as `2:03.5` below one hour."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"
    return f"{hours}:{text}" if hours else text
