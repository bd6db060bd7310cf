"""The model card: what a person should know before trusting the model (Mitchell et al. 2019)."""

from typing import Any

import numpy as np
import pandas as pd


def model_card(
    name: str,
    labels: list[str],
    metrics: dict[str, Any],
    comparison: pd.DataFrame,
    released: dict[str, Any],
    counts: dict[str, Any],
    leakage: dict[str, Any],
    training_data: dict[str, Any],
    species: pd.DataFrame,
) -> str:
    """Markdown, the same text for the same numbers."""
    row = comparison[(comparison["variant"] == released["released"]) & (comparison["split"] == "test")].iloc[0]
    test = metrics["test"]
    used = counts["splits"]
    weak = species[species["detection_f1_by_recording"] < 0.5]["species"].tolist()
    untested = species[species["test_recordings"] == 0]["species"].tolist()
    lines = [
        f"# Model card: {name}",
        "",
        f"Names {len(labels)} species of birds in windows of sound; `bundle.json` gives their length. "
        f"Variant `{released['released']}`, made by Autobird.",
        "",
        "## How good it is",
        "",
        f"Measured with this variant and its thresholds on {test['recordings']} test recordings in {test['groups']} independent groups "
        f"(sessions) that the model never heard; in brackets {metrics['confidence']:.0%} intervals from resampling groups.",
        "",
        "| | by recording | by window |",
        "|---|---|---|",
        *[_metric_row(test, metric, text) for metric, text in _METRICS.items()],
        "",
        _several_species(test),
        f"Difference of macro-F1 by recording to the float network, paired: "
        f"{_range(row['difference'], row['difference_low'], row['difference_high'])}.",
        "",
        f"Why this variant: {released['reason']}.",
        "",
        "## What it learnt from",
        "",
        f"{used['train']['recordings']} recordings ({used['train']['windows']} windows); {used['validation']['recordings']} more chose "
        f"thresholds and variant. Of {counts['recordings']} recordings {counts['recordings_used']} were used, "
        f"{counts['recordings_filtered']} filtered, {counts['recordings_quarantined']} quarantined.",
        "",
        shared_in_words(leakage),
        "",
        "Licences of the recordings (`ATTRIBUTION.csv` names each):",
        "",
        *[f"- {licence}: {count}" for licence, count in training_data["recordings"].items()],
        "",
        f"Together they ask: {training_data['statement']} The bundle holds weights and statistics (features of each recording "
        "for the drift test), and no sound of theirs.",
        "",
        "## Limits",
        "",
        "- It knows no other species and no other sounds: it names the nearest species it knows, or nothing.",
        "- Scores hold for recordings like the test recordings; other places, microphones and seasons may differ. "
        "The drift report says whether they do.",
        f"- Weak species (F1 of the detections by recording below 0.5 on test): {', '.join(weak) if weak else 'none'}.",
        *([f"- Not tested, as no test recording holds them: {', '.join(untested)}."] if untested else []),
        "",
        "## Species",
        "",
        "Detections by test recording: of the recordings in which a species is reported, the share that hold it (precision); of the "
        "recordings that hold it, the share in which it is reported (recall). One window in which its probability reaches the threshold "
        "is enough to report a species.",
        "",
        "| species | test recordings (groups) | threshold | precision | recall |",
        "|---|---|---|---|---|",
        *[_species_row(r) for r in species.to_dict("records")],
        "",
    ]
    return "\n".join(lines)


_METRICS = {
    "macro_f1": "macro-F1 of the most probable species",
    "detection_precision": "precision of the detections",
    "detection_recall": "recall of the detections",
    "detection_f1": "F1 of the detections",
    "detection_macro_f1": "macro-F1 of the detections",
    "cmap": "cmAP",
    "auroc": "AUROC",
}


def _metric_row(test: dict[str, Any], metric: str, text: str) -> str:
    return f"| {text} | {_cell(test['by_recording'][metric])} | {_cell(test['by_window'][metric])} |"


def _several_species(test: dict[str, Any]) -> str:
    others = test["recordings"] - test["recordings_of_one_species"]
    if not others:
        return "Every test recording holds one species as far as is known."
    unsure = test["recordings"] - test["recordings_with_known_species"]
    return (
        f"{others} test recordings do not hold exactly one species: macro-F1 of the most probable species is over the other "
        f"{test['recordings_of_one_species']}, everything else over all"
        + (f" but the {unsure} in which somebody marked a sound without naming it." if unsure else ".")
    )


def _species_row(row: dict[str, Any]) -> str:
    cells = [
        _range(*(row[f"detection_{m}_by_recording{end}"] for end in ("", "_low", "_high")))
        for m in ("precision", "recall")
    ]
    counts = f"{row['test_recordings']} ({row['test_groups']})"
    return f"| *{row['species']}* | {counts} | {row['threshold']:.3f} | {cells[0]} | {cells[1]} |"


def shared_in_words(leakage: dict[str, Any]) -> str:
    """What the test recordings share with training, in words; unknown is not 0 %."""
    measures = {
        "recordist": "a recordist", "recordist_and_species": "recordist and species",
        "recordist_and_day": "recordist and day", "session": "a session", "near_duplicate": "the same sound",
    }  # fmt: skip
    parts = []
    for name, what in measures.items():
        share, known = leakage["this_split"][name], leakage["known"][name]
        parts.append(
            f"{what} unknown" if share is None else f"{what} {share:.0%} (of the {known} of which it is known)"
        )
    return f"What the {leakage['test_recordings']} test recordings share with training: {', '.join(parts)}."


def _range(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "not defined"
    if np.isnan(low):
        return f"{value:.3f} [unknown: fewer than two groups]"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _cell(value: dict[str, float | None] | None) -> str:
    if value is None:
        return "not defined"
    return _range(*(np.nan if value[k] is None else value[k] for k in ("value", "low", "high")))  # type: ignore[arg-type]
