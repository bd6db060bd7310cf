"""The model card: what users should know before they rely on the model (Mitchell et al. 2019)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from autobird.backbone.base import BackboneInfo
from autobird.evaluation.false_alarms_text import false_alarm_sentence
from autobird.predict.backbone import how_to_install
from autobird.release.card_detections import CALIBRATIONS, field_limits, threshold_lines

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
        analysis: summaries of the analyses of a run with a backbone, by the name of their file (`possibly_heard`,
            `with_backbone`, `learning_curve`); other runs have none.
        teacher: the pretrained network that taught the model, as `model.json` records it; None: none did.
        precision: the precision that the thresholds were chosen for; None: the highest F1.
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
        f"This model classifies short windows of audio into {len(labels)} species of birds (`bundle.json` gives the length of a "
        f"window). It was made with Autobird. {_variant(released['released'], backbone)}",
        "",
        *(_backbone_lines(backbone, len(known_to_backbone), row) if backbone else ()),
        *(_teacher_lines(teacher, comparison) if teacher else ()),
        "## Performance",
        "",
        f"Measured with this variant and its thresholds on {test['recordings']} test recordings in {test['groups']} independent "
        "groups (recording sessions). No recording of these groups was used for training. "
        f"Square brackets: {metrics['confidence']:.0%} confidence intervals, from a bootstrap over the groups.",
        "",
        "| metric | per recording | per window |",
        "|---|---|---|",
        *[_metric_row(test, metric, text) for metric, text in _METRICS.items()],
        "",
        "Macro-F1 is the mean of the species' F1 scores. cmAP and AUROC use no threshold: for each species they measure how well the "
        "predicted probability ranks recordings (or windows) with the species above those without it. 1 is the best value of every metric.",
        "",
        _several_species(test),
        "",
        false_alarm_sentence(test["negatives"]),
        "",
        *(() if backbone else _gate_lines(row, released["reason"], len(labels))),
        *_section("Field recordings", analysis, "field"),
        *_section("This model, or the backbone as it is?", analysis, "with_backbone"),
        "## Training data",
        "",
        f"The model was trained on {used['train']['recordings']} recordings of species ({used['train']['windows']} windows)"
        f"{_without_species(counts, 'train') if metrics['outputs'] == 'independent' else ''}. "
        f"{used['validation']['recordings']} validation recordings{_without_species(counts, 'validation')} were used "
        f"to select {'its' if backbone else 'the variant, its'} "
        f"thresholds and {CALIBRATIONS[metrics['outputs']]}. "
        f"Of {counts['recordings']} recordings, {counts['recordings_used']} were used, {counts['recordings_filtered']} were "
        f"filtered out, and {counts['recordings_quarantined']} were quarantined.",
        "",
        leakage_sentence(leakage),
        "",
        *([analysis["possibly_heard"], ""] if "possibly_heard" in analysis else []),
        "Licences of the recordings (`ATTRIBUTION.csv` lists every recording):",
        "",
        *[f"- {licence}: {count}" for licence, count in training_data["recordings"].items()],
        "",
        f"Terms that follow from all licences together{_inherited(backbone, teacher)}: {training_data['statement']} The bundle holds the "
        f"{'head' if backbone else 'network'}'s weights, and statistics of each recording for the drift test. It holds no audio of "
        "these recordings.",
        "",
        *_section("Would more recordings help?", analysis, "learning_curve"),
        "## Limits",
        "",
        "- The model can only report the species listed below. For any other species or sound it reports the most similar of them, or "
        "nothing.",
        *field_limits(test["negatives"]),
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
    ]
    return "\n".join(lines)


def _section(title: str, analysis: dict[str, str], name: str) -> list[str]:
    """Return the lines of a section with the summary of an analysis; none if the run has no such analysis."""
    return [f"## {title}", "", analysis[name], ""] if name in analysis else []


def _variant(released: str, backbone: BackboneInfo | None) -> str:
    """Describe the network in the bundle."""
    if backbone:
        return (
            f"It consists of a pretrained network, the backbone {backbone.name}, which turns sound into embeddings, and of a head, a "
            "small classifier of these embeddings that was trained on the recordings below. The bundle holds the head only, as the "
            "float32 variant."
        )
    return (
        f"The bundle holds variant `{released}`: `float` is the trained float32 network, `pruned` has fewer channels, `int8` computes "
        "with 8-bit integers, `pruned_int8` has both changes."
    )


def _backbone_lines(backbone: BackboneInfo, known: int, row: pd.Series) -> list[str]:
    """Describe the backbone: what it is, its licence, and how to install it.

    Args:
        backbone: the backbone.
        known: number of species whose own weights of the backbone the head contains.
        row: of this model in `comparison.csv`.
    """
    part = f", and contains weights of its last layer for {known} of the species" if known else ""
    return [
        "## Backbone",
        "",
        f"- Name: {backbone.name}; source: {backbone.source or 'not recorded'}",
        f"- Input: windows of {backbone.window:g} s at {backbone.sample_rate} Hz; embedding: {backbone.width} values",
        f"- Licence: {backbone.licence}. The head was trained on the output of the backbone{part}, so this licence applies to the "
        "bundle, too.",
        f"- File: sha256 `{backbone.sha256}`; predictions with any other file are refused",
        f"- Installation: the bundle does not contain it. {how_to_install(backbone)}",
        f"- Cost per window: {_multiply_adds(row)}; nearly all of the time is spent in the backbone. Its file has "
        f"{row['backbone_bytes'] / 1e6:.1f} MB, that of the head {row['bytes'] / 1e6:.1f} MB. `latency.json` of the run and "
        "docs/backbones.md give measured speeds.",
        "- Recordings at less than half of its sampling rate lack the high frequencies that it was trained with; `autobird predict` "
        "marks them with a note.",
        "",
    ]


def _multiply_adds(row: pd.Series) -> str:
    """Return the multiply-adds of a head with its backbone as text."""
    if pd.isna(row["multiply_adds"]):
        return "multiply-adds cannot be counted for this backbone"
    own, total = row["multiply_adds"] - row["backbone_multiply_adds"], row["multiply_adds"]
    return f"{total / 1e6:.1f} million multiply-adds, {own / 1e6:.2f} million of them in the head and the rest in the backbone"


def _gate_lines(row: pd.Series, reason: str, species: int) -> list[str]:
    """Say why this variant was released; a head has no other variants."""
    # Of a single species, macro-F1 is not defined.
    metric, column = ("macro-F1", "difference") if species > 1 else ("recall of the detections", "recall_difference")
    return [
        f"Difference in {metric} per recording between this variant and the float32 model, on the same test recordings: "
        f"{_range(row[column], row[f'{column}_low'], row[f'{column}_high'])}.",
        "",
        f"The variant was selected by the release gate, the rule that compares all variants on the validation recordings: {reason}.",
        "",
    ]


def _teacher_lines(teacher: dict[str, Any], comparison: pd.DataFrame) -> list[str]:
    """Describe the teacher of a student: what it is, its licence, and what the student gains from it and loses against it."""
    test = comparison[comparison["split"] == "test"].set_index("variant")
    scores = [
        f"{text} {_range(*(test.loc[name, f'macro_f1{end}'] for end in ('', '_low', '_high')))}"
        for name, text in (
            ("teacher", "the teacher"),
            ("float", "this network"),
            ("scratch", "the same network without a teacher"),
        )
        if name in test.index
    ]
    return [
        "## Teacher",
        "",
        f"- The network was taught by a pretrained network: besides the labels, it learnt the answers of {teacher['name']} with a head to "
        "sounds made of the training recordings. It does not need that network, and the bundle does not contain it.",
        *_unlabelled_line(teacher["unlabelled_recordings"]),
        f"- Source: {teacher['source'] or 'not recorded'}; file: sha256 `{teacher['sha256']}`",
        f"- Licence: {teacher['licence']}. This model was made with its answers, and its licence is therefore treated as if it applied to "
        "this bundle.",
        *([f"- Macro-F1 on the test recordings, as float32 networks: {'; '.join(scores)}."] if scores else []),
        "",
    ]


def _unlabelled_line(count: int) -> list[str]:
    if not count:
        return []
    return [
        f"- It also learnt the teacher's answers to sounds made of {count} recordings without labels, whose licences the policy allows "
        "(`corpus.licences.train`) and which `ATTRIBUTION.csv` does not list."
    ]


def _inherited(backbone: BackboneInfo | None, teacher: dict[str, Any] | None) -> str:
    if teacher:
        return f", including that of the teacher {teacher['name']} ({teacher['licence']})"
    return f", including that of the backbone {backbone.name} ({backbone.licence})" if backbone else ""


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
    if not others:
        return "According to the metadata, every test recording contains exactly one species."
    uncertain = test["recordings"] - test["recordings_with_known_species"]
    without = f" ({test['negative_recordings']} of them none)" if test["negative_recordings"] else ""
    return (
        f"{others} test recordings do not contain exactly one species{without}. Macro-F1 of the most probable species uses the other "
        f"{test['recordings_of_one_species']}; all other metrics use all test recordings"
        + (
            f", {uncertain} of them only for the species of which it is known if they contain them."
            if uncertain
            else "."
        )
    )


def _without_species(counts: dict[str, Any], split: str) -> str:
    """State how much sound without any species a split holds; "" for none."""
    negatives = counts.get("negatives", {}).get(split, {})
    if not negatives.get("windows"):
        return ""
    return (
        f", and {'on ' if split == 'train' else ''}{negatives['windows']} windows of sound without any species "
        f"({negatives['hours'] * 60:.1f} minutes in {negatives['recordings']} recordings){',' if split != 'train' else ''}"
    )


def _species_row(row: dict[str, Any]) -> str:
    cells = [
        _range(*(row[f"detection_{m}_by_recording{end}"] for end in ("", "_low", "_high")))
        for m in ("precision", "recall")
    ]
    counts = f"{row['test_recordings']} ({row['test_groups']})"
    alarms = "not measured" if pd.isna(row["false_alarms_per_hour"]) else f"{row['false_alarms_per_hour']:.3g}"
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
    return (
        f"Overlap of the {leakage['test_recordings']} test recordings with the training recordings: {'; '.join(parts)}."
    )


def _range(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "not defined"
    if np.isnan(low):
        return f"{value:.3f} [interval unknown: fewer than two groups]"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _cell(value: dict[str, float | None] | None) -> str:
    if value is None:
        return "not defined"
    return _range(*(np.nan if value[k] is None else value[k] for k in ("value", "low", "high")))  # type: ignore[arg-type]
