"""The model card: what users should know before they rely on the model (Mitchell et al. 2019)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from autobird.backbone.base import BackboneInfo
from autobird.core.wording import counted, left_out_sentence
from autobird.evaluation.false_alarms_text import false_alarm_sentence, rate_text
from autobird.release.card_crossval import crossval_lines
from autobird.release.card_detections import CALIBRATIONS, field_limits, score_with_interval, threshold_lines
from autobird.release.card_networks import (
    backbone_lines,
    inherited_licences,
    teacher_lines,
    variant_sentences,
)
from autobird.release.card_summary import at_a_glance

_METRICS = {
    "macro_f1": "macro-F1 of the most probable species",
    "detection_precision": "precision of the detections",
    "detection_recall": "recall of the detections",
    "detection_f1": "F1 of the detections",
    "detection_macro_f1": "macro-F1 of the detections",
    "cmap": "cmAP (class-mean average precision)",
    "auroc": "AUROC (area under the ROC curve)",
}
"""Metrics of `metrics.json` that the card shows, and their names there."""

_FIGURES = (
    "The report of the run (`report.html`) and its folder `evaluation` have the figures: curves (`ranking_curves.png`), confusion matrix "
    "(`confusion.png`), spectrograms of confused species (`confusions.png`), and scores by stratum (`weaknesses.png`). The bundle does not "
    "contain them, because licences can forbid passing on spectrograms of the recordings."
)

_MOST_NAMED = 20
"""Most species that are named as not trained."""

_WEAK_F1 = 0.5
"""Species whose detections have a lower F1 on test recordings are listed among the limits."""


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
    backbone: BackboneInfo | None = None,
    known_to_backbone: Sequence[str] = (),
    analysis: dict[str, str] | None = None,
    teacher: dict[str, Any] | None = None,
    precision: float | None = None,
    window: float | None = None,
    crossval: dict[str, Any] | None = None,
) -> str:
    """Return the model card as Markdown; equal inputs give equal text.

    Args:
        name: name of the run.
        labels: species that the model knows.
        metrics: `metrics.json` of stage `evaluate`.
        comparison: `comparison.csv` of stage `compare`.
        released: `released.json` of stage `compare`.
        counts: `counts.json` of the data set.
        leakage: `leakage.json` of the data set.
        training_data: licences of the training recordings (`release.bundle.training_data`).
        species: `species.csv` of stage `evaluate`.
        backbone: the pretrained network that computes the model's input; None: the model needs none.
        known_to_backbone: species whose own weights of the backbone the head contains.
        analysis: summaries of the analyses of the run, by the name of their file: `weaknesses`, `confusions`, `field`, and of a run with
            a backbone also `possibly_heard`, `with_backbone`, `learning_curve`.
        teacher: the pretrained network that taught the model, as `model.json` records it; None: none did.
        precision: the precision that the thresholds were chosen for; None: the highest F1.
        window: length of a window, seconds; None: unknown.
        crossval: `crossval.json` of a cross-validation with the settings of the run; None: there is none.
    """
    analysis = analysis or {}
    row = comparison[(comparison["variant"] == released["released"]) & (comparison["split"] == "test")].iloc[0]
    test = metrics["test"]
    used = counts["splits"]
    weak = species[species["detection_f1_by_recording"] < _WEAK_F1]["species"].tolist()
    untested = species[species["test_recordings"] == 0]["species"].tolist()
    lines = [
        f"# Model card: {name}",
        "",
        f"This model recognises {counted(len(labels), 'species', 'species')} of birds in sound recordings. It was made with Autobird. "
        f"{variant_sentences(released['released'], backbone) if backbone else ''}".rstrip(),
        "",
        *at_a_glance(species, test, training_data["statement"], window, backbone.name if backbone else None),
        *(backbone_lines(backbone, len(known_to_backbone), row) if backbone else ()),
        *(teacher_lines(teacher, comparison) if teacher else ()),
        "## Performance",
        "",
        f"Measured with this variant and its thresholds on {counted(test['recordings'], 'test recording')} in "
        f"{counted(test['groups'], 'independent group')} "
        "(recording sessions). No recording of these groups was used for training. "
        f"Square brackets: {metrics['confidence']:.0%} confidence intervals, from a bootstrap over the groups.",
        "",
        "| metric | per recording | per window |",
        "|---|---|---|",
        *[_metric_row(test, metric, text) for metric, text in _METRICS.items()],
        "",
        *crossval_lines(crossval, test),
        "Macro-F1 is the mean of the species' F1 scores. cmAP and AUROC use no threshold: for each species they measure how well the "
        "predicted probability ranks recordings (or windows) with the species above those without it. 1 is the best value of every metric.",
        "",
        _several_species(test),
        "",
        false_alarm_sentence(test["negatives"]),
        "",
        *_section("Ensemble", analysis, "ensemble"),
        *_section("Field recordings", analysis, "field"),
        *_section("Where it is weak", analysis, "weaknesses"),
        *_section("Which species it confuses", analysis, "confusions"),
        *([_FIGURES, ""] if {"weaknesses", "confusions"} & analysis.keys() else []),
        *_section("This model, or the backbone as it is?", analysis, "with_backbone"),
        "## Training data",
        "",
        f"The model was trained on {counted(used['train']['recordings'], 'recording')} with a species "
        f"({counted(used['train']['windows'], 'window')})"
        f"{_without_species(counts, 'train') if metrics['outputs'] == 'independent' else ''}. "
        f"{counted(used['validation']['recordings'], 'validation recording')}{_without_species(counts, 'validation')} "
        f"{'was' if used['validation']['recordings'] == 1 else 'were'} used "
        f"to select {'its' if backbone else 'the variant, its'} "
        f"thresholds and {CALIBRATIONS[metrics['outputs']]}. "
        f"Of {counted(counts['recordings'], 'recording')}, {counts['recordings_used']} were used, {counts['recordings_filtered']} were "
        f"filtered out, and {counts['recordings_quarantined']} were quarantined.{_left_out(counts)}",
        "",
        f"{leakage_sentence(leakage)} What is shared makes the scores better than they would be for other recordists and places.",
        "",
        *([analysis["possibly_heard"], ""] if "possibly_heard" in analysis else []),
        "Licences of the recordings (`ATTRIBUTION.csv` lists every recording):",
        "",
        *[f"- {licence}: {counted(count, 'recording')}" for licence, count in training_data["recordings"].items()],
        "",
        f"Terms that follow from all licences together{inherited_licences(backbone, teacher)}: {training_data['statement']} "
        f"The bundle holds the {'head' if backbone else 'network'}'s weights, and statistics of each recording for the drift test. It "
        "holds no audio of these recordings.",
        "",
        *_section("Would more recordings help?", analysis, "learning_curve"),
        "## Limits",
        "",
        "- The model can only report the species listed below. For any other species or sound it reports the most similar of them, or "
        "nothing.",
        *field_limits(metrics["validation"]["negatives"], test["negatives"]),
        "- The metrics apply to recordings like the test recordings. Results for other places, microphones and seasons may differ. "
        "The drift report tests whether new recordings differ from those of the training.",
        f"- Species with weak detections (F1 per test recording below {_WEAK_F1:g}): {', '.join(weak) if weak else 'none'}.",
        *([f"- Not tested, because no test recording contains them: {', '.join(untested)}."] if untested else []),
        "",
        "## Species",
        "",
        "A species is detected in a recording if its probability reaches its threshold in at least one window. Precision: of the test "
        "recordings in which the species is detected, the share that contain it. Recall: of the test recordings that contain the "
        "species, the share in which it is detected.",
        "",
        *threshold_lines(species, precision),
        "| species | test recordings (groups) | threshold | precision | recall | false alarms per hour |",
        "|---|---|---|---|---|---|",
        *[_species_row(r) for r in species.to_dict("records")],
        "",
        *(() if backbone else _variant_lines(row, released, len(labels))),
    ]
    return "\n".join(lines)


def _section(title: str, analysis: dict[str, str], name: str) -> list[str]:
    """Return the lines of a section with the summary of an analysis; none if the run has no such analysis."""
    return [f"## {title}", "", analysis[name], ""] if name in analysis else []


def _variant_lines(row: pd.Series, released: dict[str, Any], species: int) -> list[str]:
    """Describe the network in the bundle, and say why this variant was released; a head has no other variants."""
    # Of a single species, macro-F1 is not defined.
    metric, column = ("macro-F1", "difference") if species > 1 else ("recall of the detections", "recall_difference")
    difference = [
        f"Difference in {metric} per recording between this variant and the float32 model, on the same test recordings: "
        f"{score_with_interval(row[column], row[f'{column}_low'], row[f'{column}_high'])}.",
        "",
    ]
    return [
        "## The network in this bundle",
        "",
        variant_sentences(released["released"], None),
        "",
        *(difference if released["released"] != "float" else ()),
        "The release gate, the rule that compares all variants on the validation recordings, selected this variant. Its reasons:",
        "",
        *[f"- {part}" for part in released["reason"].split("; ")],
        "",
    ]


def _metric_row(test: dict[str, Any], metric: str, text: str) -> str:
    return f"| {text} | {_cell(test['by_recording'][metric])} | {_cell(test['by_window'][metric])} |"


def _several_species(test: dict[str, Any]) -> str:
    """State which test recordings each metric uses."""
    others = test["recordings"] - test["recordings_of_one_species"]
    if test["by_recording"]["macro_f1"] is None and test["recordings_of_one_species"]:
        return (
            "A single species is always the most probable one, so its macro-F1 is not defined; all other metrics use all test "
            "recordings."
        )
    uncertain = test["recordings"] - test["recordings_with_known_species"]
    left_out = (
        f" Of {counted(uncertain, 'test recording')} it is not known of all species whether they contain them; the species in "
        "question are left out there."
        if uncertain
        else ""
    )
    if not others:
        return f"According to the metadata, every test recording contains exactly one species.{left_out}"
    without = f" ({test['negative_recordings']} of them none)" if test["negative_recordings"] else ""
    return (
        f"{counted(others, 'test recording does', 'test recordings do')} not contain exactly one species{without}. Macro-F1 of "
        f"the most probable species uses the other "
        f"{test['recordings_of_one_species']}; all other metrics use all test recordings.{left_out}"
    )


def _without_species(counts: dict[str, Any], split: str) -> str:
    """State how much sound without any species a split holds; "" for none."""
    negatives = counts.get("negatives", {}).get(split, {})
    if not negatives.get("windows"):
        return ""
    return (
        f", and {'on ' if split == 'train' else ''}{counted(negatives['windows'], 'window')} of sound without any species "
        f"({negatives['hours'] * 60:.1f} minutes in {counted(negatives['recordings'], 'recording')}){',' if split != 'train' else ''}"
    )


def _left_out(counts: dict[str, Any]) -> str:
    """Return a sentence, after a space, about the species of the recordings that are not trained; "" for none."""
    reasons = counts.get("left_out")
    return f" {left_out_sentence(reasons, _MOST_NAMED)}." if reasons else ""


def _species_row(row: dict[str, Any]) -> str:
    cells = [
        score_with_interval(*(row[f"detection_{m}_by_recording{end}"] for end in ("", "_low", "_high")))
        for m in ("precision", "recall")
    ]
    counts = f"{row['test_recordings']} ({row['test_groups']})"
    # Without the interval, no false alarm in a few minutes of sound would look like a promise.
    rate = {
        key: row.get(f"false_alarms_per_hour{end}") for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))
    }
    alarms = "not measured" if pd.isna(row["false_alarms_per_hour"]) else rate_text(rate)
    return f"| *{row['species']}* | {counts} | {row['threshold']:.3f} | {cells[0]} | {cells[1]} | {alarms} |"


def leakage_sentence(leakage: dict[str, Any]) -> str:
    """State what the test recordings share with the training recordings; missing metadata is "unknown", not 0 %."""
    measures = {
        "recordist": "same recordist", "recordist_and_species": "same recordist and species",
        "recordist_and_day": "same recordist and day", "session": "same session", "near_duplicate": "same audio",
    }  # fmt: skip
    parts = []
    for name, text in measures.items():
        share, known = leakage["this_split"][name], leakage["known"][name]
        parts.append(
            f"{text}: unknown" if share is None else f"{text}: {share:.0%} of the {known} for which it is known"
        )
    # The negatives among the test recordings are measured apart.
    of = " with a species" if "negatives" in leakage else ""
    return f"Overlap of the {counted(leakage['test_recordings'], 'test recording')}{of} with the training recordings: {'; '.join(parts)}."


def _cell(value: dict[str, float | None] | None) -> str:
    if value is None:
        return "not defined"
    return score_with_interval(*(np.nan if value[k] is None else value[k] for k in ("value", "low", "high")))  # type: ignore[arg-type]
