"""Stage `field_evaluate`: scores of the bundle on field recordings that it was not trained on, with intervals over sessions."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_tables, read_text_csv, write_csv
from autobird.dataset.groups import group_keys
from autobird.dataset.recorders import COLUMNS, NO_SESSIONS, recorder_sessions
from autobird.evaluation.evaluate import interval_columns
from autobird.evaluation.field_comparison import FieldComparison, compare
from autobird.evaluation.field_curves import curves_of
from autobird.evaluation.field_data import (
    BOXES,
    FieldPredictions,
    FieldTruth,
    boxes_of_labels,
    read_boxes,
    read_predictions,
)
from autobird.evaluation.field_figures import false_alarms_figure, precision_recall_figure
from autobird.evaluation.field_leakage import EXCLUDED, SAME_SESSION
from autobird.evaluation.field_scores import FieldScores
from autobird.evaluation.field_summary import field_notes, field_summary
from autobird.evaluation.settings import FieldScoreSettings
from autobird.sources.base import NEGATIVE
from autobird.sources.policy import NO_SPECIES

WITH_BOXES = ("annotations", "demo")
"""Types of field recordings whose truth are boxes."""


def excluded_recordings(manifest: pd.DataFrame, answers: pd.DataFrame, leakage: pd.DataFrame) -> pd.DataFrame:
    """Return the recordings that are not evaluated, as columns recording, kind and reason.

    Args:
        manifest: columns recording, problem; all recordings.
        answers: columns recording, reason; "" if a recording was predicted.
        leakage: columns recording, other, reason.
    """
    rows = [(r.recording, "cannot be used", r.problem) for r in manifest.itertuples() if r.problem]
    rows = [(name, "not annotated" if "not annotated" in why else kind, why) for name, kind, why in rows]
    known = {name for name, _, _ in rows}
    strongest_first = leakage.assign(rank=leakage["reason"].map({reason: n for n, reason in enumerate(EXCLUDED)}))
    for found in strongest_first.dropna(subset="rank").sort_values(["recording", "rank"]).itertuples():
        if found.recording not in known:
            known.add(found.recording)
            rows.append((found.recording, "in the corpus", f"{found.reason} as {found.other}"))
    for answer in answers[answers["reason"] != ""].itertuples():
        if answer.recording not in known:
            rows.append((answer.recording, "not predicted", answer.reason))
    return pd.DataFrame(sorted(rows), columns=["recording", "kind", "reason"])


def sessions_of(
    names: Sequence[str],
    recordings: pd.DataFrame,
    grouping: pd.DataFrame,
    pairs: pd.DataFrame,
    use_recorders: bool,
    negative_names: tuple[str, ...] = (),
) -> NDArray[np.int64]:
    """Return the session of each recording as an index.

    A session is one recorder in one night, by file names and headers; where these are unknown, recordist, day and place of the metadata.
    Recordings with the same audio are of one session. These are the groups of the split (`dataset.groups`), except that a session of
    the metadata does not join the nights before and after its day.

    Args:
        names: recordings.
        recordings: columns of `RECORDINGS` for at least these recordings.
        grouping: columns recording, recordist, date, place.
        pairs: near-duplicates among the field recordings.
        use_recorders: whether recorder and night, by file names and headers, are a session (`dataset.recorder_sessions`).
        negative_names: labels of recordings without a species (`corpus.negative_names`).
    """
    rows = recordings.set_index("recording").loc[list(names)].reset_index()
    # A recording that could not be decoded for the comparison of sounds is a group of its own.
    rows["sound_sha256"] = rows["sound_sha256"].where(rows["sound_sha256"] != "", rows["recording"])
    if use_recorders and len(rows):
        recorders = recorder_sessions(rows, grouping, negative_names)
    else:
        recorders = pd.DataFrame(NO_SESSIONS, index=pd.Index(rows["recording"]))
    in_night = recorders.index[recorders["session"] != ""]
    keys = group_keys(rows, grouping[~grouping["recording"].isin(in_night)], pairs, recorders)
    return pd.factorize(keys.loc[list(names)], sort=True)[0].astype(np.int64)


def truth_of(
    kind: str,
    predictions: FieldPredictions,
    manifest: pd.DataFrame,
    boxes: Sequence[Path],
    labels: pd.DataFrame | None,
) -> FieldTruth:
    """Return what the recordings contain.

    Args:
        kind: type of the field recordings.
        predictions: the recordings that are evaluated.
        manifest: columns recording, species.
        boxes: tables of boxes.
        labels: columns recording, kind, uncertain; None if the listing has none.
    """
    if kind in WITH_BOXES:
        tables = [read_text_csv(path) for path in boxes]
        return read_boxes(pd.concat([pd.DataFrame(columns=BOXES), *tables], ignore_index=True), predictions)
    species = manifest.set_index("recording")["species"]
    if kind == "negatives":
        species = species.where(species.isna(), "")
    background = {}
    if labels is not None:
        background = {r.recording: json.loads(r.uncertain or "[]") for r in labels.itertuples()}
    return boxes_of_labels(species, predictions, background)


def field_metrics(comparison: FieldComparison, scores: FieldScores) -> dict[str, Any]:
    """Return the scores as JSON; levels that the truth does not support are None."""
    truth, p = comparison.truth, comparison.predictions
    has_species = bool(truth.shared_species)
    quiet = float(p.hours[p.quiet].sum())
    return {
        "hours": round(float(p.hours.sum()), 4),
        "quiet_hours": round(quiet, 4),
        "sessions": comparison.sessions,
        "windows": len(p.start),
        "boxes": {"used": len(truth.boxes), **truth.unused} if not truth.by_recording else None,
        "shared_species": [p.labels[s] for s in truth.shared_species],
        "unknown_species": truth.unknown_species,
        "by_window": scores.by_window() if has_species else None,
        "by_event": scores.by_event() if has_species and not truth.by_recording else None,
        "by_recording": scores.by_recording() if has_species else None,
        "false_alarms": scores.false_alarms(),
        "by_species": scores.by_species(),
    }


def species_table(by_species: dict[str, dict[str, Any]], thresholds: Sequence[float]) -> pd.DataFrame:
    """Return one row per species with its counts, scores and false alarms per hour."""
    rows = []
    for (name, scores), threshold in zip(by_species.items(), thresholds, strict=True):
        row: dict[str, Any] = {"species": name, "threshold": threshold}
        row |= {key: scores[key] for key in ("windows", "events", "detections")}
        row |= interval_columns("average_precision", scores["average_precision"])
        row |= interval_columns("auroc", scores["auroc"])
        for level in ("window", "event"):
            for metric, interval in scores[f"by_{level}"].items():
                row |= interval_columns(f"{level}_{metric}", interval)
        row["wrong_detections"] = scores["false_alarms"]["count"]
        row |= interval_columns("wrong_detections_per_hour", scores["false_alarms"]["per_hour"])
        rows.append(row)
    return pd.DataFrame(rows).round(4)


def events_table(comparison: FieldComparison) -> pd.DataFrame:
    """Return every event, detection and false alarm: what to listen to.

    Returns:
        columns recording, start, end, kind (`event`, `detection` or `false alarm`), species, probability (of detections), outcome (of
        false alarms: the kind of sound); sorted by recording and start.
    """
    p = comparison.predictions
    names, labels = np.array([*p.names, ""], object), np.array([*p.labels, ""], object)
    tables = []
    for kind, table, outcome in (
        ("event", comparison.events, "outcome"),
        ("detection", comparison.detections, "outcome"),
        ("false alarm", comparison.alarms, "sound"),
    ):
        columns = {
            "recording": names[table["recording"]],
            "start": table["start"].round(3),
            "end": table["end"].round(3),
            "kind": kind,
            "species": labels[table["species"]],
            "probability": table["probability"].map("{:.4f}".format) if kind == "detection" else "",
            "outcome": table[outcome],
        }
        tables.append(pd.DataFrame(columns))
    both = pd.concat(tables, ignore_index=True)
    return both.sort_values(["recording", "start", "kind", "species"], ignore_index=True)


def false_alarms_table(alarms: dict[str, Any]) -> pd.DataFrame:
    """Return one row per kind of sound and per site: number of false alarms, hours, and false alarms per hour."""
    rows = []
    kinds = [(name, alarms[name]) for name in ("overall", "without_model_species", "no_species", "unknown_species")]
    for name, rate in [*kinds, *((f"site: {name}", rate) for name, rate in alarms["by_site"].items())]:
        rate_columns = interval_columns("per_hour", rate["per_hour"])
        rows.append({"sound": name, **{key: rate[key] for key in ("count", "hours", "sessions")}, **rate_columns})
    return pd.DataFrame(rows).round(4)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--type", required=True, help="type of the field recordings")
    p.add_argument("--recorder-sessions", choices=("True", "False"), default="True")
    p.add_argument("--near-duplicates", choices=("True", "False"), default="True", help="whether they were searched")
    for name in ("manifests", "recordings", "windows", "detections", "answers"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True)
    p.add_argument("--boxes", type=Path, nargs="*", default=[])
    p.add_argument("--labels", type=Path, nargs="?")
    inputs, outputs = (
        ("grouping", "exclusions", "leakage", "pairs", "bundle"),
        (
            "metrics",
            "summary",
            "species",
            "events",
            "false-alarms",
            "curves",
            "excluded",
            "figure",
            "false-alarms-figure",
        ),
    )
    for name in (*inputs, *outputs):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(FieldScoreSettings, args.settings)
    with stage("field_evaluate", args, [getattr(args, name.replace("-", "_")) for name in outputs]):
        bundle = read_json(args.bundle)
        manifest, answers = (
            pd.concat([read_text_csv(path) for path in paths], ignore_index=True)
            for paths in (args.manifests, args.answers)
        )
        labels = read_text_csv(args.labels) if args.labels else None
        manifest = with_label_problems(manifest, args.type, read_text_csv(args.exclusions), labels)
        leakage = read_text_csv(args.leakage)
        excluded = excluded_recordings(manifest, answers, leakage)
        used = (
            answers[~answers["recording"].isin(excluded["recording"])].set_index("recording")["duration"].astype(float)
        )
        predictions = read_predictions(args.windows, args.detections, used, bundle["labels"])
        truth = truth_of(args.type, predictions, manifest, args.boxes, labels)
        recordings = read_tables(args.recordings, [*dict.fromkeys([*COLUMNS, "file_sha256", "sound_sha256"])])
        pairs = read_text_csv(args.pairs)
        group = sessions_of(
            predictions.names,
            recordings,
            read_text_csv(args.grouping),
            pairs,
            args.recorder_sessions == "True",
            settings.negative_names,
        )
        comparison = compare(predictions, truth, group, float(bundle["features"]["window"]), settings)
        scores = FieldScores(comparison, settings)
        in_session = leakage[(leakage["reason"] == SAME_SESSION) & leakage["recording"].isin(predictions.names)]
        metrics: dict[str, Any] = {
            "type": args.type,
            "bundle": {name: bundle[name] for name in ("name", "variant", "fingerprint")},
            **settings.model_dump(mode="json", include={"confidence", "resamples", "min_overlap", "tolerance"}),
            "species": len(bundle["labels"]),
            "recordings": {
                "listed": len(manifest),
                "evaluated": len(predictions.names),
                "excluded": dict(sorted(Counter(excluded["kind"]).items())),
                "sessions_in_corpus": int(in_session["recording"].nunique()),
                "near_duplicates_searched": args.near_duplicates == "True",
            },
            **field_metrics(comparison, scores),
        }
        metrics["notes"] = field_notes(metrics)
        summary = field_summary(metrics)
        write_json(args.metrics, metrics)
        write_json(args.summary, {"summary": "\n".join(f"- {line}" for line in summary)})
        species = species_table(metrics["by_species"], bundle["thresholds"])
        write_csv(args.species, species)
        write_csv(args.events, events_table(comparison))
        write_csv(args.false_alarms, false_alarms_table(metrics["false_alarms"]))
        curves = curves_of(comparison)
        write_csv(args.curves, curves)
        write_csv(args.excluded, excluded)
        precision_recall_figure(args.figure, curves, species, metrics)
        false_alarms_figure(args.false_alarms_figure, curves, metrics)
        for line in summary:
            log.info("%s", line)


def with_label_problems(
    manifest: pd.DataFrame, kind: str, exclusions: pd.DataFrame, labels: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the manifest with a problem for recordings whose label is not a species, unless they are negatives.

    Args:
        manifest: columns recording, problem.
        kind: type of the field recordings.
        exclusions: columns recording, reason, of the listing.
        labels: columns recording, kind; None if the listing has none.
    """
    if kind not in ("folder", "table"):
        return manifest
    negatives = set() if labels is None else set(labels.loc[labels["kind"] == NEGATIVE, "recording"])
    unlabelled = set(exclusions.loc[exclusions["reason"] == NO_SPECIES, "recording"]) - negatives
    is_unlabelled = manifest["recording"].isin(unlabelled) & (manifest["problem"] == "")
    return manifest.assign(problem=manifest["problem"].mask(is_unlabelled, NO_SPECIES))


if __name__ == "__main__":
    run(main)
