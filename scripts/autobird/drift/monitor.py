"""A test for drift of the features of recordings, with a known false-alarm rate; imports numpy but not pandas."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobird.core.files import read_json

FEWEST = 20
"""With fewer current recordings, small drift is mostly missed, so that no detection says little: a shift of one feature by its standard
deviation was detected in 8, 18, 33, 60 and 88% of simulated tests with 3, 5, 10, 20 and 40 recordings (reference of 60, 6 features,
false-alarm rate 1%), a shift by two in 38, 60, 93, 100 and 100%."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """Features of the recordings that the model was made with, one row per recording.

    Attributes:
        names: names of the features.
        values: values of the features; shape (recordings, features).
        groups: group number of each recording; recordings of one session have the same number; shape (recordings,).
    """

    names: tuple[str, ...]
    values: Floats
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class DriftResult:
    """The result of a drift test.

    Attributes:
        drift: whether the statistic exceeds the threshold.
        statistic: largest Kolmogorov-Smirnov distance of a feature, times sqrt(n m / (n + m)) for n reference recordings and m
            current recordings.
        threshold: quantile 1 - false-alarm rate of the same statistic between random subsets of the reference.
        distances: two-sample Kolmogorov-Smirnov distance of each feature, 0 to 1.
        worst: feature with the largest distance.
        p_values: for each feature, the probability that the largest of all statistics is at least that of the feature if there is no
            drift (Westfall and Young 1993): those below the false-alarm rate drift, also if several features are looked at.
    """

    drift: bool
    statistic: float
    threshold: float
    distances: dict[str, float]
    worst: str
    p_values: dict[str, float]


def read_references(path: Path) -> dict[str, Reference]:
    """Read `drift_reference.json` of a bundle: the references of the audio features (`audio`) and model features (`model`)."""
    return {
        name: Reference(tuple(r["features"]), np.array(r["values"], np.float64), np.array(r["groups"], np.int64))
        for name, r in read_json(path).items()
    }


def ks_distances(a: Floats, b: Floats) -> Floats:
    """Return the two-sample Kolmogorov-Smirnov distance of each column; shape (features,).

    It is the largest difference between the empirical distribution functions of `a` and `b`, of shape (recordings, features).
    """
    out = np.empty(a.shape[1])
    for f in range(a.shape[1]):
        points = np.concatenate([a[:, f], b[:, f]])
        left = np.searchsorted(np.sort(a[:, f]), points, side="right") / len(a)
        right = np.searchsorted(np.sort(b[:, f]), points, side="right") / len(b)
        out[f] = np.abs(left - right).max()
    return out


def drift_test(reference: Reference, current: Floats, alarm_rate: float, resamples: int, seed: int) -> DriftResult:
    """Test whether current recordings have the same distribution of features as the reference.

    The test uses one value per recording. Windows of one recording are similar, so a test on thousands of windows would
    report drift almost always. The statistic is the largest Kolmogorov-Smirnov statistic of all features. Its threshold is
    found by resampling the reference: random subsets of it are tested against its remaining recordings. The subsets consist
    of whole groups. The false-alarm rate is therefore known, even if features depend on each other and recordings of one
    group are similar.

    Args:
        reference: the reference; with fewer than two groups, drift is never reported.
        current: features of at least one current recording; shape (recordings, features).
        alarm_rate: false-alarm rate, a probability.
        resamples: number of random subsets of the reference.
        seed: seed of the resampling.
    """
    n, m = len(reference.values), len(current)
    _, codes = np.unique(reference.groups, return_inverse=True)
    distances = ks_distances(reference.values, current)
    worst = int(distances.argmax())
    statistics = np.sqrt(n * m / (n + m)) * distances
    statistic = float(statistics[worst])
    # The largest possible statistic; it is never exceeded. Fewer than two groups cannot be divided into subsets.
    threshold = float(np.sqrt(n * m / (n + m)))
    p_values = np.ones(len(distances))
    if codes.max() > 0:
        null = _null_statistics(reference.values, codes, m, resamples, seed)
        threshold = float(np.quantile(null, 1 - alarm_rate))
        p_values = (1 + (null >= statistics[:, None]).sum(axis=1)) / (1 + len(null))
    return DriftResult(
        drift=statistic > threshold,
        statistic=round(statistic, 4),
        threshold=round(threshold, 4),
        distances={name: round(float(d), 4) for name, d in zip(reference.names, distances, strict=True)},
        worst=reference.names[worst],
        p_values={name: round(float(p), 4) for name, p in zip(reference.names, p_values, strict=True)},
    )


def _null_statistics(values: Floats, codes: NDArray[np.int64], size: int, resamples: int, seed: int) -> Floats:
    """Return the statistics of random subsets of the reference against its remaining recordings; shape (resamples,).

    A subset consists of whole groups and has about `size` recordings, at most about half of the reference.
    """
    rng, n = np.random.default_rng(seed), len(values)
    wanted = max(1, min(size, n // 2))
    null = np.empty(resamples)
    for i in range(resamples):
        # Take recordings in a random order of their groups, and complete the last group.
        rank = rng.permutation(codes.max() + 1)[codes]
        subset = np.zeros(n, bool)
        subset[np.argsort(rank, kind="stable")[:wanted]] = True
        subset = np.isin(codes, codes[subset])
        if subset.all():
            subset = rank < rank.max()
        one, rest = values[subset], values[~subset]
        null[i] = np.sqrt(len(one) * len(rest) / n) * ks_distances(one, rest).max()
    return null
