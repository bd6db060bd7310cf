"""Stage `drift`: Evidently's report on recordings of now against those of the training, and our own verdict in one line."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.drift.monitor import FEATURES, Reference, Verdict, compare
from autobird.drift.settings import DriftTestSettings


def references(path: Path) -> dict[str, Reference]:
    """The references of a bundle, `audio` and `model`."""
    return {
        name: Reference(tuple(r["features"]), np.array(r["values"], np.float64), np.array(r["groups"], np.int64))
        for name, r in read_json(path).items()
    }


def verdict(known: dict[str, Reference], current: pd.DataFrame, settings: DriftTestSettings) -> dict[str, Any]:
    """Test audio and answers of the model, each at half the alarm rate, so that together they keep it.

    Raises:
        AutobirdError: no recordings.
    """
    if not len(current):
        raise AutobirdError("there are no recordings to compare; give others by drift.current")
    tests: dict[str, Verdict] = {}
    for name, reference in known.items():
        values = current[list(reference.names)].to_numpy(np.float64)
        tests[name] = compare(reference, values, settings.alarm_rate / len(known), settings.resamples, settings.seed)
    drift = any(t.drift for t in tests.values())
    strongest = max(tests.values(), key=lambda t: t.statistic / t.threshold)
    evidence = f"strongest in {strongest.worst}: {strongest.statistic:.2f}, alarm above {strongest.threshold:.2f}"
    line = (
        f"{'DRIFT' if drift else 'No drift'}: {len(current)} recordings {'differ from' if drift else 'are like'} those of the "
        f"training ({evidence}; false alarms: {settings.alarm_rate:.0%})"
    )
    return {
        "drift": drift,
        "verdict": line,
        "recordings": len(current),
        "alarm_rate": settings.alarm_rate,
        "tests": {name: dataclasses.asdict(t) for name, t in tests.items()},
    }


def evidently_report(known: dict[str, Reference], current: pd.DataFrame, html: Path, json: Path) -> None:
    """Evidently's data drift report as HTML and JSON."""
    from evidently import Report  # 3 to 4 seconds
    from evidently.presets import DataDriftPreset

    columns = [pd.DataFrame(r.values, columns=list(r.names)) for r in known.values()]
    reference = pd.concat(columns, axis=1)[list(FEATURES)]
    snapshot = Report([DataDriftPreset()]).run(current[list(FEATURES)], reference)
    with atomic(html) as temporary:
        snapshot.save_html(str(temporary))
    with atomic(json) as temporary:
        snapshot.save_json(str(temporary))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--reference", type=Path, required=True, help="drift_reference.json of a bundle")
    p.add_argument("--current", type=Path, required=True, help="features by recording, CSV")
    p.add_argument("--verdict", type=Path, required=True)
    p.add_argument("--html", type=Path, required=True)
    p.add_argument("--json", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(DriftTestSettings, args.settings)
    with stage("drift", args, [args.verdict, args.html, args.json]):
        known = references(args.reference)
        current = pd.read_csv(args.current)
        found = verdict(known, current, settings)
        evidently_report(known, current, args.html, args.json)
        write_json(args.verdict, found)
        log.info("%s", found["verdict"])


if __name__ == "__main__":
    run(main)
