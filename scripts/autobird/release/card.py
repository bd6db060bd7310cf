"""The model card: what a person should know before trusting the model (Mitchell et al. 2019)."""

from typing import Any

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
    weak = species[species["f1"].fillna(0) < 0.5]["species"].tolist()
    lines = [
        f"# Model card: {name}",
        "",
        f"Names {len(labels)} species of birds in 5-second windows of sound, or of whatever length `bundle.json` says. "
        f"Variant `{released['released']}`, made by Autobird.",
        "",
        "## How good it is",
        "",
        f"On {test['recordings']} test recordings that it never heard, by recording, with {metrics['confidence']:.0%} bootstrap intervals:",
        "",
        "| | macro-F1 |",
        "|---|---|",
        f"| released variant | {_range(row['macro_f1'], row['macro_f1_low'], row['macro_f1_high'])} |",
        f"| its difference to float, paired | {_range(row['difference'], row['difference_low'], row['difference_high'])} |",
        f"| float network | {_cell(test['by_recording']['macro_f1'])} |",
        "",
        f"Float network by window: macro-F1 {_cell(test['by_window']['macro_f1'])}, cmAP {_cell(test['by_window']['cmap'])}.",
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
        f"- Weak species (F1 below 0.5 on test): {', '.join(weak) if weak else 'none'}.",
        "",
        "## Species",
        "",
        ", ".join(f"*{label}*" for label in labels) + ".",
        "",
    ]
    return "\n".join(lines)


def shared_in_words(leakage: dict[str, Any]) -> str:
    """What the test recordings share with training, in words; unknown is not 0 %."""
    measures = {
        "recordist": "a recordist", "recordist_and_day": "recordist and day", "session": "a session", "near_duplicate": "the same sound",
    }  # fmt: skip
    parts = []
    for name, what in measures.items():
        share, known = leakage["this_split"][name], leakage["known"][name]
        parts.append(
            f"{what} unknown" if share is None else f"{what} {share:.0%} (of the {known} of which it is known)"
        )
    return f"What the {leakage['test_recordings']} test recordings share with training: {', '.join(parts)}."


def _range(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _cell(value: dict[str, float] | None) -> str:
    return "not defined" if value is None else _range(value["value"], value["low"], value["high"])
