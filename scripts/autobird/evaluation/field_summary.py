"""What the evaluation on field recordings found, as sentences for the model card and `autobird scores`."""

from pathlib import Path
from typing import Any

from autobird.core.files import read_json
from autobird.core.wording import counted
from autobird.evaluation.false_alarms_text import rate_text
from autobird.evaluation.interval_text import interval_text

_KINDS = {
    "annotations": "annotated recording",
    "demo": "synthesised field recording",
    "folder": "labelled recording",
    "table": "labelled recording",
    "negatives": "recording without any of the model's species",
}

_MAX_SPECIES = 5
"""Largest number of species that a sentence names."""


def field_summary(metrics: dict[str, Any]) -> list[str]:
    """Return sentences about the scores on field recordings.

    Args:
        metrics: content of `field/metrics.json`.
    """
    recordings, lines = metrics["recordings"], []
    left_out = ", ".join(f"{count} {reason}" for reason, count in recordings["excluded"].items())
    lines.append(
        f"{_evaluated(recordings['evaluated'], metrics['type'])}, {metrics['hours']:.2f} h in "
        f"{counted(metrics['sessions'], 'independent session')}, none of them used for "
        f"training{f' (left out: {left_out})' if left_out else ''}."
    )
    if not recordings["evaluated"]:
        return [f"No field recording could be evaluated (left out: {left_out})."]
    if metrics["by_event"]:
        e = metrics["by_event"]
        lines.append(
            f"Detections against {counted(e['events'], 'annotated event')}: precision {interval_text(e['precision'])}, recall "
            f"{interval_text(e['recall'])}, F1 {interval_text(e['f1'])}; {counted(e['detections'], 'detection')}, "
            f"{e['not_decided']} of them "
            "neither right nor wrong."
        )
    if metrics["by_window"]:
        w = metrics["by_window"]
        lines.append(
            f"Windows: cmAP {interval_text(w['cmap'])}, AUROC {interval_text(w['auroc'])}, precision "
            f"{interval_text(w['detection_precision'])}, recall {interval_text(w['detection_recall'])}."
        )
    lines += _false_alarm_lines(metrics["false_alarms"])
    lines += metrics["notes"]
    return lines


def _evaluated(count: int, kind: str) -> str:
    """Return the number of recordings of a kind (`evaluation.field.type`)."""
    return counted(count, _KINDS[kind], _KINDS[kind].replace("recording", "recordings"))


def _false_alarm_lines(alarms: dict[str, Any]) -> list[str]:
    lines = []
    empty, overall = alarms["without_model_species"], alarms["overall"]
    if empty["hours"]:
        lines.append(
            f"False alarms per hour in sound without any of the model's species: {rate_text(empty['per_hour'])} "
            f"({empty['count']} in {empty['hours']:.2f} h)."
        )
    if overall["hours"] > empty["hours"]:
        lines.append(
            f"Wrong detections per hour of all sound, also that with the model's species: {rate_text(overall['per_hour'])} "
            f"({overall['count']} in {overall['hours']:.2f} h; detections that only touch a box are not decided)."
        )
    return lines


def field_notes(metrics: dict[str, Any]) -> list[str]:
    """Return sentences about what limits the evaluation.

    Args:
        metrics: content of `field/metrics.json` without the notes.
    """
    notes = []
    unknown = metrics["unknown_species"]
    if unknown:
        names = ", ".join(list(unknown)[:_MAX_SPECIES]) + (" and others" if len(unknown) > _MAX_SPECIES else "")
        notes.append(
            f"The model does not know {len(unknown)} of the species in the recordings ({names}); detections in their sound are "
            "false alarms."
        )
    if metrics["type"] != "negatives" and not metrics["shared_species"]:
        notes.append("The recordings share no species with the model, so only false alarms are measured.")
    if metrics["recordings"]["sessions_in_corpus"]:
        notes.append(
            f"{metrics['recordings']['sessions_in_corpus']} of the recordings are of a session (recordist, day and place, or recorder "
            "and night) that is also in the corpus, so the scores may be too high."
        )
    if not metrics["recordings"]["near_duplicates_searched"]:
        notes.append("Near-duplicates of the corpus were not searched (corpus.near_duplicates).")
    if metrics["sessions"] < 2:
        notes.append("All recordings are of one session, so no interval is known.")
    if metrics["type"] in ("folder", "table"):
        notes.append(
            "The labels are those of whole recordings: other species in the background count as wrong detections, and the species is "
            "not heard in every window."
        )
    return notes


def field_lines(file: Path, bundle: Path) -> list[str]:
    """Return lines for `autobird scores`; none if the run has not been measured on field recordings.

    Args:
        file: `field/metrics.json` of the run.
        bundle: `bundle.json` of the run's bundle, which may be younger than these scores.
    """
    if not file.is_file():
        return []
    metrics = read_json(file)
    if bundle.is_file() and read_json(bundle)["fingerprint"] != metrics["bundle"]["fingerprint"]:
        return ["field recordings: the scores are those of an earlier bundle; measure this one with `snakemake field`"]
    return ["field recordings (docs/field.md):", *(f"    {line}" for line in field_summary(metrics))]
