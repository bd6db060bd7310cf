"""The summary of a review for the terminal: precision by score and species, thresholds, and what remains."""

from collections.abc import Sequence

import numpy as np

from autobird.core.wording import counted
from autobird.review.precision import Estimate, Precision
from autobird.review.session import ReviewSession
from autobird.review.stopping import remaining
from autobird.review.thresholds import ChosenThreshold

AT = (0.25, 0.5, 0.6, 0.75, 0.9)
"""Thresholds, the same for all species, at which the summary shows the precision."""


def format_report(session: ReviewSession, wanted: float | None = None, within: float = 0.05) -> str:
    """Return the summary.

    Args:
        session: the review.
        wanted: wanted precision, for which thresholds are shown; None: none.
        within: wanted half width of the interval of the precision, for what remains.
    """
    precision = session.precision()
    sample = precision.sample
    lines = [
        f"{counted(len(sample), 'reviewed item')} with a clear answer, drawn at random from "
        f"{counted(len(sample.population_species), 'candidate')} ({counted(sample.sessions, 'session')}, "
        f"{counted(sample.reviewers, 'reviewer')}); {sample.unknown} without one ({sample.disagree} with disagreement)"
    ]
    if sample.chosen:
        lines.append(
            f"{sample.chosen} further answers are about items of other queues (uncertain, unlike, similar), filters or scores below the "
            "floor: they do not count here, but they are training data"
        )
    if not len(sample):
        return "\n".join([*lines, "nothing to summarise yet: review items of --queue stratified or random"])
    lines += ["", f"  {'score':14}{'candidates':>12}{'reviewed':>10}{'right':>8}  share right"]
    for cell, share in reversed(precision.strata()):
        score = f"{cell.low:g}-{cell.high:g}"
        lines.append(
            f"  {score:14}{cell.population:>12}{cell.reviewed:>10}{cell.present:>8}  {_text(share) if cell.reviewed else 'not known'}"
        )
    lines += ["", *_thresholds_in_use(session, precision)]
    lines += ["", "all species, one threshold"]
    thresholds = [threshold for threshold in AT if threshold >= sample.borders[0]]
    for threshold in thresholds:
        found = precision.above(threshold)
        lines.append(
            f"  at {threshold:<8g}{found.detections:>10} windows, precision {_text(found.precision)}, recall against "
            f"{sample.borders[0]:g}: {_text(found.recall)}"
        )
    if wanted is not None:
        lines += ["", *format_thresholds(session.choose(wanted), wanted, session.bundle.labels)]
    lines += ["", *(f"- {remaining(precision, threshold, within).text}" for threshold in thresholds)]
    return "\n".join(lines)


def _thresholds_in_use(session: ReviewSession, precision: Precision) -> list[str]:
    lines = [f"  {'at the thresholds in use':30}{'windows':>8}{'reviewed':>10}  precision; recall against the floor"]
    reviewed = np.bincount(precision.sample.species, minlength=len(session.bundle.labels))
    for name, number in zip(session.bundle.labels, reviewed, strict=True):
        if number:
            found = precision.above(session.thresholds[name], name)
            text = f"{name} ({found.threshold:.3g})"
            if found.threshold < precision.sample.borders[0]:
                lines.append(
                    f"  {text:30}{'':18}  unknown: the threshold is below {precision.sample.borders[0]:g}, the lowest score"
                )
                continue
            values = f"{_text(found.precision)}; {_text(found.recall)}"
            lines.append(f"  {text:30}{found.detections:>8}{found.reviewed:>10}  {values}")
    return lines


def format_thresholds(chosen: Sequence[ChosenThreshold], wanted: float, labels: Sequence[str]) -> list[str]:
    """Return the lines about thresholds for a wanted precision; `labels` are all species of the bundle."""
    lines = [f"thresholds for a precision of {wanted:g}; the precision is from the same decisions, so rather too high"]
    for c in chosen:
        note = "" if c.reached else "  (not reached in the sample)"
        lines.append(
            f"  {c.species:30}{c.threshold:>8.3f}  precision {_text(c.result.precision)}; recall {_text(c.result.recall)}{note}"
        )
    others = sorted(set(labels) - {c.species for c in chosen})
    if others:
        lines.append(f"  unchanged, because no reviewed item is about them: {', '.join(others)}")
    return lines


def _text(estimate: Estimate) -> str:
    if not np.isfinite(estimate.value):
        return "unknown"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
