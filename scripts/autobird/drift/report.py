"""Stage `drift`: test current recordings for drift, and write Evidently's report about the same features."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.wording import counted
from autobird.drift.features import DRIFT_FEATURES
from autobird.drift.monitor import FEWEST, DriftResult, Reference, drift_test, read_references
from autobird.drift.settings import DriftTestSettings

_SMALLEST_THRESHOLD = 1e-9
"""In place of a threshold of 0, which a reference of constant features has, where tests are compared."""


def summarise_drift(
    references: dict[str, Reference],
    current: pd.DataFrame,
    settings: DriftTestSettings,
    selection: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Test the audio features and the model features for drift.

    Each of the two tests uses half of the false-alarm rate, so that the rate of both together is at most `alarm_rate`
    (Bonferroni correction).

    Args:
        references: the references of the bundle.
        current: drift features of the current recordings, one row per recording.
        settings: false-alarm rate and resampling.
        selection: if the current recordings are those of the server's log, which of its entries are used and left out; `text` is
            one line of text.

    Returns:
        the content of `drift.json`; `summary` is one line of text, which says that there are too few recordings to tell if
        there are fewer than `FEWEST` and no drift is detected.

    Raises:
        AutobirdError: there are no current recordings.
    """
    if not len(current):
        raise AutobirdError("there are no current recordings to test for drift; set drift.current to other recordings")
    tests: dict[str, DriftResult] = {}
    for name, reference in references.items():
        values = current[list(reference.names)].to_numpy(np.float64)
        alarm_rate = settings.alarm_rate / len(references)
        tests[name] = drift_test(reference, values, alarm_rate, settings.resamples, settings.seed)
    drift = any(t.drift for t in tests.values())
    strongest = max(tests.values(), key=lambda t: t.statistic / max(t.threshold, _SMALLEST_THRESHOLD))
    summary = (
        f"{_conclusion(drift, len(current))} (largest difference: {strongest.worst}, test statistic {strongest.statistic:.2f}, "
        f"threshold {strongest.threshold:.2f}; false-alarm rate {settings.alarm_rate:.0%})"
    )
    if selection:
        summary += f"; {selection['text']}"
    return {
        "drift": drift,
        "summary": summary,
        "recordings": len(current),
        "alarm_rate": settings.alarm_rate,
        "tests": {name: dataclasses.asdict(t) for name, t in tests.items()},
        **({"selection": dict(selection)} if selection else {}),
    }


def _conclusion(drift: bool, recordings: int) -> str:
    """Return what the test says about that many current recordings."""
    if drift:
        differ = counted(recordings, "current recording differs", "current recordings differ")
        return f"Drift detected: {differ} from the recordings that the model was made with"
    if recordings < FEWEST:
        number = counted(recordings, "current recording")
        missed = f"with {number}, drift is mostly missed unless it is large, and none was detected"
        return f"Too few recordings to tell: {missed}; give at least {FEWEST}"
    return (
        f"No drift detected: {recordings} current recordings are similar to the recordings that the model was made with"
    )


def evidently_report(references: dict[str, Reference], current: pd.DataFrame, html: Path) -> None:
    """Write Evidently's data drift report as HTML."""
    from evidently import Report  # the import takes 3 to 4 seconds
    from evidently.presets import DataDriftPreset

    tables = [pd.DataFrame(r.values, columns=list(r.names)) for r in references.values()]
    reference = pd.concat(tables, axis=1)[list(DRIFT_FEATURES)]
    snapshot = Report([DataDriftPreset()]).run(current[list(DRIFT_FEATURES)], reference)
    with atomic(html) as temporary:
        snapshot.save_html(str(temporary))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--reference", type=Path, required=True, help="drift_reference.json of a bundle")
    p.add_argument("--current", type=Path, required=True, help="drift features of the current recordings, CSV")
    p.add_argument("--selection", type=Path, nargs="?", help="which entries of the server's log are used, JSON")
    p.add_argument("--result", type=Path, required=True, help="result of the drift test, JSON")
    p.add_argument("--html", type=Path, required=True, help="Evidently's report")
    args = p.parse_args(argv)
    settings = settings_of(DriftTestSettings, args.settings)
    with stage("drift", args, [args.result, args.html]):
        references = read_references(args.reference)
        current = pd.read_csv(args.current)
        selection = read_json(args.selection) if args.selection else None
        result = summarise_drift(references, current, settings, selection)
        evidently_report(references, current, args.html)
        write_json(args.result, result)
        log.info("%s", result["summary"])


if __name__ == "__main__":
    run(main)
