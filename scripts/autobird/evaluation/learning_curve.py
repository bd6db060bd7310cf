"""The learning curve: scores of models that were fitted to fewer recordings, and which species gain from more of them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.evaluation.bootstrap import Interval, Resamples, bounded_interval, slope_interval
from autobird.evaluation.interval_json import interval_json
from autobird.evaluation.learning_curve_text import GAINS, SATURATED, UNCLEAR, ranked, summary
from autobird.evaluation.metrics import Weighting, f1_by_species, macro_average, predicted_and_true
from autobird.evaluation.predictions import SplitPredictions
from autobird.evaluation.settings import IntervalSettings

Floats = NDArray[np.float64]

SMALLEST = 2
"""Number of recordings of each species at the first point of the curve; each further point has twice as many."""

MIN_TEST_GROUPS = 3
"""Fewest groups of test recordings with a species for which its gain is estimated."""

_SMALL_GAIN = 0.05
"""A gain of F1 for twice as many recordings that is not worth the effort."""

_SAME_NUMBER = 1e-6
"""Largest difference of two mean numbers of recordings that are the same number."""


def curve_sizes(recordings: Iterable[int]) -> list[int]:
    """Return the largest numbers of recordings of a species at the points of the curve: 2, 4, 8, ..., and the largest number.

    Args:
        recordings: number of training recordings of each species.
    """
    largest = max(recordings, default=0)
    sizes = []
    size = SMALLEST
    while size < largest:
        sizes.append(size)
        size *= 2
    return [*sizes, int(largest)] if largest >= SMALLEST else []


def nested_subset(recordings: pd.DataFrame, size: int, draw: int) -> set[str]:
    """Return the training recordings of a point of the curve: of each species at most `size`, and all without any species.

    The recordings of each species are sorted by a stable hash of their group, and then of their own name, so that smaller
    subsets are parts of larger ones, and recordings of a session are taken together. A recording of several species is taken if
    it is among the first of one of them.

    Args:
        recordings: columns recording, group and recording_species (lists); one row per recording.
        size: largest number of recordings of a species.
        draw: number of the draw; each has another order.
    """
    order = recordings.assign(
        first=[_hash(draw, group) for group in recordings["group"]],
        second=[_hash(draw, name) for name in recordings["recording"]],
    ).sort_values(["first", "second"])
    taken = set(order["recording"][order["recording_species"].map(len) == 0])
    counts: dict[str, int] = {}
    for name, species in zip(order["recording"], order["recording_species"], strict=True):
        for one in species:
            counts[one] = counts.get(one, 0) + 1
            if counts[one] <= size:
                taken.add(name)
    return taken


def _hash(draw: int, text: str) -> bytes:
    return hashlib.sha256(f"{draw} {text}".encode()).digest()


@dataclass(frozen=True)
class Point:
    """A point of the curve.

    Attributes:
        size: largest number of training recordings of a species.
        f1: F1 of the most probable species in each draw, under each row of weights; shape (draws, rows, species).
        recordings: number of training recordings of each species, the mean of the draws; shape (species,).
    """

    size: int
    f1: Floats
    recordings: Floats


def f1_of(split: SplitPredictions, resamples: Resamples) -> Floats:
    """Return the F1 of the most probable species of test recordings (`predicted_and_true`); shape (rows, species)."""
    predicted, truth, single = predicted_and_true(split.recordings)
    return f1_by_species(predicted, truth, Weighting.of(resamples, split.recordings).subset(single))


class Gain(NamedTuple):
    """The change of F1 for each doubling of the recordings at the end of a curve, and what it says."""

    interval: Interval | None
    conclusion: str


def mean_of_draws(values: Floats, resamples: Resamples, seed: int) -> Floats:
    """Return the mean over the draws; shape (rows, ...).

    In the rows of the bootstrap the draws are drawn with replacement too, so that intervals include the chance of the subsets. Of n
    draws, n - 1 are drawn, which makes the variance unbiased for small n, as for the groups (`resample_groups`).

    Args:
        values: shape (draws, rows, ...).
        resamples: the weights.
        seed: seed of the random generator.
    """
    draws = len(values)
    mean = values.mean(axis=0)
    if draws > 1:
        rng = np.random.default_rng(seed)
        weights = rng.multinomial(draws - 1, np.full(draws, 1 / draws), size=resamples.bootstrap_rows) / (draws - 1)
        rows = slice(1, 1 + resamples.bootstrap_rows)
        mean[rows] = np.einsum("rd,dr...->r...", weights, values[:, rows])
    return mean


def no_curve(settings: IntervalSettings, species: int) -> dict[str, Any]:
    """Return the content of `learning_curve.json` if every species has fewer training recordings than `SMALLEST`, or there is one alone.

    Args:
        settings: confidence level.
        species: number of species.
    """
    reason = f"no species has {SMALLEST} training recordings"
    if species < 2:
        reason = "a single species is always the most probable one, so that the score of the curve is not defined"
    return {
        "confidence": settings.confidence,
        "test_recordings": 0,
        "test_groups": 0,
        "curve": [],
        "gain_of_doubling": None,
        "conclusion": UNCLEAR,
        "species": {},
        "would_gain_most": [],
        "summary": f"There is no learning curve, because {reason}.",
    }


def learning_curve(
    points: Sequence[Point],
    split: SplitPredictions,
    resamples: Resamples,
    labels: list[str],
    settings: IntervalSettings,
) -> dict[str, Any]:
    """Return the content of `learning_curve.json`.

    Args:
        points: by increasing size; the last one has all recordings.
        split: test recordings.
        resamples: resamples of their groups.
        labels: species in the order of the F1 values.
        settings: confidence level and seed.
    """
    single = split.recordings.only_species
    groups_of = [len(np.unique(split.group[single == s])) for s in range(len(labels))]
    means = [mean_of_draws(point.f1, resamples, settings.seed) for point in points]
    groups = len(np.unique(split.group[single >= 0]))
    curve = [
        {
            "size": point.size,
            "recordings": round(float(point.recordings.mean()), 2),
            "draws": len(point.f1),
            "macro_f1": interval_json(bounded_interval(macro_average(mean), resamples, settings.confidence, groups)),
            "spread_of_draws": _spread([float(macro_average(f1[:1])[0]) for f1 in point.f1]),
        }
        for point, mean in zip(points, means, strict=True)
    ]  # fmt: skip
    by_mean = [(_geometric_mean(p.recordings), macro_average(m)) for p, m in zip(points, means, strict=True)]
    overall = _gain(by_mean, resamples, settings, groups)
    by_species = {
        name: _species_curve(s, points, means, resamples, settings, groups_of[s]) for s, name in enumerate(labels)
    }
    result: dict[str, Any] = {
        "confidence": settings.confidence,
        "test_recordings": int((single >= 0).sum()),
        "test_groups": groups,
        "curve": curve,
        "gain_of_doubling": interval_json(overall.interval),
        "conclusion": overall.conclusion,
        "species": by_species,
        "would_gain_most": ranked(by_species, GAINS),
    }
    return result | {"summary": summary(result)}


def _spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation (n - 1 in the denominator); None for fewer than two values, or if one is not defined."""
    return None if len(values) < 2 or np.isnan(values).any() else round(float(np.std(values, ddof=1)), 4)


def _species_curve(
    species: int,
    points: Sequence[Point],
    means: Sequence[Floats],
    resamples: Resamples,
    settings: IntervalSettings,
    groups: int,
) -> dict[str, Any]:
    """Return the points of a species, up to the first that has all of its recordings, and its gain."""
    total = points[-1].recordings[species]
    # The numbers are sums of the shares of folds and draws, which may differ from the total in the last bit.
    last = next(i for i, point in enumerate(points) if point.recordings[species] > total - _SAME_NUMBER)
    used = [(float(p.recordings[species]), m[:, species]) for p, m in zip(points[: last + 1], means, strict=False)]
    gain = _gain(used, resamples, settings, groups)
    return {
        "train_recordings": round(float(total), 2),
        "test_groups": groups,
        "curve": [
            {
                "recordings": round(x, 2),
                "f1": interval_json(
                    bounded_interval(f1, resamples, settings.confidence, groups, max(1.0, groups - 1.0))
                ),
            }
            for x, f1 in used
        ],
        "gain_of_doubling": interval_json(gain.interval),
        "conclusion": gain.conclusion,
    }


def _geometric_mean(recordings: Floats) -> float:
    """Return the geometric mean of the numbers of recordings of the species; twice as many of every species double it.

    It is the scale of the gain of all species. On that of the largest number, a corpus with one common and many rare species would end
    with points at which only the common species has more recordings, and more recordings would seem not to help.
    """
    return float(np.exp(np.log(np.maximum(recordings, _SAME_NUMBER)).mean()))


def _gain(
    points: Sequence[tuple[float, Floats]], resamples: Resamples, settings: IntervalSettings, groups: int
) -> Gain:
    """Return the slope of F1 over log2(recordings), by least squares over the points from a quarter of the largest number on.

    Args:
        points: number of recordings and F1 under each row of weights; shape (rows,).
        resamples: the weights.
        settings: confidence level.
        groups: number of groups with the species.
    """
    used = [(np.log2(x), f1) for x, f1 in points if x > 0 and x >= points[-1][0] / 4]
    if groups < MIN_TEST_GROUPS or len(used) < 2 or used[-1][0] - used[0][0] < 0.5:
        return Gain(None, UNCLEAR)
    x = np.array([x for x, _ in used])
    centred = x - x.mean()
    slope = np.einsum("p,pr->r", centred / (centred @ centred), np.stack([f1 for _, f1 in used]))
    interval = slope_interval(slope, resamples, settings.confidence, groups)
    if interval is None or np.isnan(interval[1]):
        return Gain(interval, UNCLEAR)
    conclusion = GAINS if interval[1] > 0 else SATURATED if interval[2] < _SMALL_GAIN else UNCLEAR
    return Gain(interval, conclusion)


def curve_table(result: dict[str, Any]) -> pd.DataFrame:
    """Return the points as a table: species ("" for all), recordings, f1, f1_low, f1_high; at the last point of each curve also the
    gain of F1 by doubling the recordings, its interval, and the conclusion.
    """
    rows: list[dict[str, Any]] = []
    curves = {"": (result["curve"], "macro_f1", result)} | {
        name: (entry["curve"], "f1", entry) for name, entry in result["species"].items()
    }
    for name, (points, key, entry) in curves.items():
        for point in points:
            row = {"species": name, "recordings": point["recordings"], **_columns("f1", point[key])}
            if point is points[-1]:
                row |= _columns("gain_of_doubling", entry["gain_of_doubling"]) | {"conclusion": entry["conclusion"]}
            rows.append(row)
    columns = [*_columns("f1", None), *_columns("gain_of_doubling", None)]
    return pd.DataFrame(rows, columns=["species", "recordings", *columns, "conclusion"]).round(4)


def _columns(name: str, value: dict[str, float | None] | None) -> dict[str, float | None]:
    value = value or dict.fromkeys(("value", "low", "high"))
    return {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
