"""Stage `possibly_heard`: scores without the test recordings that the backbone may have been trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autobird.core.files import write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_text_csv, write_csv
from autobird.core.wording import counted
from autobird.dataset.heard import HEARD, LAST_HEARD, UNHEARD, UNKNOWN, mark_heard
from autobird.evaluation.interval_json import metric_interval
from autobird.evaluation.metrics import Weighting, all_metrics
from autobird.evaluation.pooling import first_seed_sentence
from autobird.evaluation.predictions import SplitPredictions
from autobird.evaluation.settings import PossiblyHeardSettings
from autobird.evaluation.tested import read_test_predictions, subset_recordings

MIN_RECORDINGS = 30
"""Fewest recordings from which scores are computed; of fewer, the result says that they are too few to tell."""

_HEADLINE = ("macro_f1", "detection_precision", "detection_recall", "detection_f1", "detection_macro_f1", "cmap")
"""Metrics of `metrics.json`, per recording, that are computed."""

Scores = dict[str, Any] | None


def scores_of(split: SplitPredictions, settings: PossiblyHeardSettings) -> Scores:
    """Return the headline scores of test recordings, with intervals; None if they are fewer than `MIN_RECORDINGS`.

    Args:
        split: predictions for the recordings.
        settings: bootstrap and confidence level.
    """
    if len(split.names) < MIN_RECORDINGS:
        return None
    resamples = split.resamples(settings.resamples, settings.seed)
    metrics = all_metrics(split.recordings, Weighting.of(resamples, split.recordings))
    return {
        "recordings": len(split.names),
        "groups": split.groups,
        "species": int(split.recordings.present.any(axis=0).sum()),
        **{name: metric_interval(name, metrics[name], resamples, settings.confidence) for name in _HEADLINE},
    }


def possibly_heard(split: SplitPredictions, marks: pd.DataFrame, settings: PossiblyHeardSettings) -> dict[str, Any]:
    """Return the content of `possibly_heard.json`: counts, and the scores of each kind of test recordings.

    Args:
        split: predictions for the test recordings.
        marks: result of `mark_heard` for them, in their order.
        settings: the backbone, bootstrap and confidence level.
    """
    last, source = last_heard(settings)
    kinds = {
        "all": (HEARD, UNHEARD, UNKNOWN),
        "possibly_heard": (HEARD,),
        "unheard": (UNHEARD,),
        "unheard_or_unknown": (UNHEARD, UNKNOWN),
    }
    result: dict[str, Any] = {
        "backbone": settings.name,
        "heard_until": None if last is None else f"XC{last}",
        "heard_until_source": source,
        "confidence": settings.confidence,
        "min_recordings": MIN_RECORDINGS,
        "test_recordings": len(marks),
        "possibly_heard": int((marks["heard"] == HEARD).sum()),
        "unheard": int((marks["heard"] == UNHEARD).sum()),
        "unknown": int((marks["heard"] == UNKNOWN).sum()),
        "scores": {
            kind: scores_of(subset_recordings(split, marks["heard"].isin(states).to_numpy()), settings)
            for kind, states in kinds.items()
        },
    }
    return result | {"summary": " ".join(sentences(result))}


def last_heard(settings: PossiblyHeardSettings) -> tuple[int | None, str]:
    """Return the highest xeno-canto number that the backbone was trained on, and where that is stated."""
    if settings.heard_until is not None:
        return settings.heard_until, "setting backbone.heard_until"
    known = LAST_HEARD.get(settings.name)
    return (None, "") if known is None else (known.number, known.source)


def sentences(result: dict[str, Any]) -> list[str]:
    """Return what the result means, for the card and the report.

    Args:
        result: content of `possibly_heard.json`.
    """
    name, total, unknown = result["backbone"], result["test_recordings"], result["unknown"]
    if result["heard_until"] is None:
        return [
            f"Which recordings the backbone {name} was trained on is not known (`backbone.heard_until` is not set). It may know any "
            f"of the {total} test recordings that is in a public collection, and the scores may therefore be too good."
        ]
    lines = [
        f"The backbone {name} may have been trained on {result['possibly_heard']} of the {counted(total, 'test recording')}: "
        f"their xeno-canto "
        f"number is not above {result['heard_until']}, the highest in its training data ({result['heard_until_source']}). "
        f"{_have(result['unheard'])} a higher number, so it did not hear {'it' if result['unheard'] == 1 else 'them'}. {_have(unknown)} no "
        "known number."
    ]
    if unknown:
        lines.append(
            "Recordings without a number were heard only if they are in another collection that the backbone learnt from, such as "
            "the Macaulay Library."
        )
    for kind, text in (
        ("unheard", "the unheard recordings"),
        ("unheard_or_unknown", "the unheard and the unknown recordings"),
    ):
        if kind == "unheard_or_unknown" and not unknown:
            continue
        count = result["unheard"] + (unknown if kind == "unheard_or_unknown" else 0)
        scores = result["scores"][kind]
        if scores is None:
            lines.append(f"Score of {text} alone: too few to tell ({count}, fewer than {result['min_recordings']}).")
        else:
            lines.append(
                f"Macro-F1 of {text} alone ({counted(count, 'recording')} of {scores['species']} species): "
                f"{_interval(scores['macro_f1'])}, "
                f"of all test recordings {_interval(result['scores']['all'] and result['scores']['all']['macro_f1'])}."
            )
    return lines


def _have(count: int) -> str:
    return counted(count, "has", "have")


def _interval(value: dict[str, float | None] | None) -> str:
    if value is None:
        return "not defined"
    if value["low"] is None:
        return f"{value['value']:.3f} [interval unknown: fewer than two groups]"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    for name in ("predictions", "calibration", "labels"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True, help="of the run, or of each fold")
    p.add_argument("--details", type=Path, required=True, help="metadata with the xeno-canto numbers")
    p.add_argument("--output", type=Path, required=True)
    p.add_argument("--table", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(PossiblyHeardSettings, args.settings)
    with stage("possibly_heard", args, [args.output, args.table]):
        split = read_test_predictions(args.predictions, args.calibration, args.labels).split
        marks = mark_heard(split.names, read_text_csv(args.details), last_heard(settings)[0])
        result = possibly_heard(split, marks, settings)
        result["summary"] += first_seed_sentence(len(args.predictions))
        write_json(args.output, result)
        write_csv(args.table, marks)
        log.info("%s", result["summary"])


if __name__ == "__main__":
    run(main)
