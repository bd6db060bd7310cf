"""Results for people and programs: a table, JSON, CSV."""

import json
from collections.abc import Sequence
from typing import Any

from autobird.core.files import csv_text
from autobird.predict.bundle import Bundle
from autobird.predict.files import FileResult

CSV_COLUMNS = ("file", "start", "end", "species", "probability")
"""Columns of the CSV: seconds, and the highest calibrated probability of the windows in between."""


def as_json(bundle: Bundle, results: Sequence[FileResult]) -> str:
    """One document with all files; those that could not be read carry an `error`."""
    value: dict[str, Any] = {
        "bundle": {"name": bundle.name, "variant": bundle.variant, "fingerprint": bundle.fingerprint},
        "files": [_file(r, bundle.labels) for r in results],
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _file(result: FileResult, labels: Sequence[str]) -> dict[str, Any]:
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
        "probabilities": _named(result.probabilities, labels),
    }
    if result.windows is not None:
        value["windows"] = [
            {
                "start": w.start,
                "end": w.end,
                "quiet": w.quiet,
                "detected": w.detected,
                "probabilities": _named(w.probabilities, labels),
            }
            for w in result.windows
        ]
    return value


def _named(probabilities: Sequence[float], labels: Sequence[str]) -> dict[str, float]:
    """Probabilities by species, not rounded, so that close ones keep their order; {} for none."""
    return dict(zip(labels, probabilities, strict=True)) if probabilities else {}


def as_csv(results: Sequence[FileResult]) -> str:
    """One row a detection."""
    rows = [list(CSV_COLUMNS)]
    rows += [
        [r.file, f"{d.start:g}", f"{d.end:g}", d.species, f"{d.probability:.4f}"] for r in results for d in r.detections
    ]
    return csv_text(rows)


def as_table(results: Sequence[FileResult]) -> str:
    """What was heard when, file by file."""
    lines = []
    width = max((len(d.species) for r in results for d in r.detections), default=0)
    for r in results:
        lines.append(f"{r.file}  ({clock(r.duration)})" if not r.error else f"{r.file}")
        if r.error:
            lines.append(f"    not read: {r.error}")
        elif not r.detections:
            lines.append("    nothing above the thresholds" if r.species else "    all of it is quiet")
        for d in r.detections:
            lines.append(f"    {clock(d.start):>8} - {clock(d.end):<8}  {d.species:<{width}}  {d.probability:.2f}")
    return "\n".join(lines) + "\n"


def clock(seconds: float) -> str:
    """Seconds as `1:02:03.5`, without hours where there are none."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"
    return f"{hours}:{text}" if hours else text
