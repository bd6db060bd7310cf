"""Items, progress and estimates of a review as JSON values."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from autobird.review.items import ReviewItem
from autobird.review.precision import AboveThreshold, Estimate, Precision
from autobird.review.stopping import Remaining, remaining
from autobird.review.thresholds import ChosenThreshold
from autobird.serving.review.desk import Progress, ReviewDesk
from autobird.sources.review_table import Review

THRESHOLDS = (0.25, 0.5, 0.6, 0.75, 0.9)
"""Thresholds, the same for all species, at which the precision is shown, as in the report of the command line."""


def item_values(
    desk: ReviewDesk, item: ReviewItem, number: int, own: Review | None, threshold: float
) -> dict[str, Any]:
    """Return an item.

    Args:
        desk: the review.
        item: the item.
        number: its place in the queue, from 1.
        own: the reviewer's decision about it; None if there is none.
        threshold: threshold of its species.
    """
    return {
        "id": item.id,
        "number": number,
        "file": item.file,
        "duration": round(desk.file_duration(item.file), 3),
        "start": item.start,
        "end": item.end,
        "species": item.species,
        "probability": round(item.probability, 4),
        "threshold": _number(threshold),
        "stratum": item.stratum,
        "unknown_score": None if item.unknown_score is None else round(item.unknown_score, 4),
        "similarity": None if item.similarity is None else round(item.similarity, 4),
        "site": item.site,
        "recorded_at": item.recorded_at,
        "others": [{"species": name, "probability": round(p, 4)} for name, p in desk.other_species(item)],
        "decision": None if own is None else own.decision,
        "other_species": "" if own is None else own.other_species,
    }


def review_values(review: Review) -> dict[str, Any]:
    """Return a row of the table of decisions."""
    return review._asdict()


def progress_values(progress: Progress) -> dict[str, Any]:
    """Return how far a reviewer is."""
    strata = [{"stratum": name, "decided": done, "items": n} for name, (done, n) in progress.by_stratum.items()]
    reviewers = [{"reviewer": name, "decisions": n} for name, n in sorted(progress.reviewers.items())]
    return {**progress._asdict(), "by_stratum": strata, "reviewers": reviewers}


def summary_values(
    precision: Precision,
    thresholds: Mapping[str, float],
    chosen: list[ChosenThreshold],
    wanted: float,
    by_lower_bound: bool,
    within: float,
) -> dict[str, Any]:
    """Return what the decisions say.

    Args:
        precision: the estimates.
        thresholds: those in use, by species.
        chosen: thresholds for the wanted precision.
        wanted: wanted precision.
        by_lower_bound: whether the lower end of the interval must reach it.
        within: wanted half width of the interval of the precision, for the stopping rule.
    """
    s = precision.sample
    counts = np.bincount(s.species, minlength=len(s.labels)) if len(s) else np.zeros(len(s.labels), int)
    return {
        "reviewed": len(s),
        "candidates": len(s.population_species),
        "sessions": s.sessions if len(s) else 0,
        "reviewers": s.reviewers,
        "unknown": s.unknown,
        "disagree": s.disagree,
        "not_random": s.chosen,
        "floor": s.borders[0],
        "confidence": precision.confidence,
        "strata": [
            {
                "low": cell.low,
                "high": cell.high,
                "candidates": cell.population,
                "reviewed": cell.reviewed,
                "present": cell.present,
                "share": _estimate(share),
            }
            for cell, share in precision.strata()
        ]
        if len(s)
        else [],
        "species": [
            {"species": name, **_above(precision.above(thresholds[name], name)), "items": int(count)}
            for name, count in zip(s.labels, counts, strict=True)
            if count
        ],
        "thresholds": [_above(precision.above(value)) for value in THRESHOLDS] if len(s) else [],
        "wanted": {"precision": wanted, "by_lower_bound": by_lower_bound, "within": within},
        "chosen": [{"species": c.species, "reached": c.reached, **_above(c.result)} for c in chosen],
        "remaining": [_remaining(remaining(precision, value, within)) for value in THRESHOLDS] if len(s) else [],
    }


def _above(found: AboveThreshold) -> dict[str, Any]:
    return {
        "threshold": _number(found.threshold),
        "detections": found.detections,
        "reviewed": found.reviewed,
        "precision": _estimate(found.precision),
        "recall": _estimate(found.recall),
    }


def _remaining(value: Remaining) -> dict[str, Any]:
    more = [{"low": low, "high": high, "items": n} for (low, high), n in sorted(value.more.items())]
    # Nothing can be said of a threshold that no candidate reaches.
    return {"threshold": value.threshold, "text": value.text, "is_enough": value.is_enough, "more": more}


def _estimate(value: Estimate) -> dict[str, float | None]:
    return {"value": _number(value.value), "low": _number(value.low), "high": _number(value.high)}


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
