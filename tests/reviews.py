"""Small pools and decisions for tests of reviews."""

import datetime as dt
from dataclasses import replace

import numpy as np

from autobird.review.items import ReviewItem
from autobird.review.pool import Pool, PoolFile
from autobird.sources.review_table import Decision, Review

NOW = dt.datetime(2026, 5, 1, 4, 0, tzinfo=dt.UTC)

ITEM = ReviewItem("lake/a.wav", 2.5, 7.5, "Parus major", 0.625, "abc123", "score 0.5-0.75", 0.125)


def review(
    decision: Decision, reviewer: str = "Ann", other: str = "", item: ReviewItem = ITEM, **changes: object
) -> Review:
    """Return a row about an item."""
    row = Review(
        item.file, item.start, item.end, item.species, decision, other, reviewer, NOW.isoformat(), item.model, item.stratum,
        item.probability, item.sampling_probability,
    )  # fmt: skip
    return row._replace(**changes)  # type: ignore[arg-type]


def make_pool(
    probabilities: np.ndarray,
    windows_per_file: int = 10,
    sites: tuple[str, ...] = ("lake", "hill"),
    floor: float = 0.02,
) -> Pool:
    """Return a pool of windows of 5 s every 5 s.

    Args:
        probabilities: shape (windows, species); the windows of a recording follow each other.
        windows_per_file: number of windows of a recording.
        sites: sites of the recordings, in turn; the recordings of a site are one day apart, at 4:00 and 20:00 in turn.
        floor: of the pool.
    """
    windows, species = probabilities.shape
    files = []
    for n in range(windows // windows_per_file):
        site, visit = sites[n % len(sites)], n // len(sites)
        start = dt.datetime(2026, 5, 1, 20 if visit % 2 else 4) + dt.timedelta(days=visit)
        files.append(
            PoolFile(f"{site}/{n:04d}.wav", 1, 1, 5.0 * windows_per_file, windows_per_file, site, "", start.isoformat())
        )
    number, column = np.nonzero(probabilities >= floor)
    best = probabilities.argmax(axis=1)
    at = np.tile(np.arange(windows_per_file) * 5.0, len(files))
    return Pool(
        "abc123", tuple(f"Species {chr(97 + s)}" for s in range(species)), floor, tuple(files),
        np.repeat(np.arange(len(files)), windows_per_file).astype(np.int32), at, at + 5.0,
        (1 - probabilities.max(axis=1)).astype(np.float32), best.astype(np.int16),
        probabilities[np.arange(windows), best].astype(np.float32), number.astype(np.int32), column.astype(np.int16),
        probabilities[number, column],
    )  # fmt: skip


def answers(
    items: list[ReviewItem], is_present: dict[tuple[str, float, str], bool], reviewer: str = "Ann"
) -> list[Review]:
    """Return right decisions about items."""
    return [
        replace_review(item, "yes" if is_present[item.file, item.start, item.species] else "no", reviewer)
        for item in items
    ]


def replace_review(item: ReviewItem, decision: Decision, reviewer: str) -> Review:
    """Return a decision about an item."""
    return review(decision, reviewer, item=replace(item))
