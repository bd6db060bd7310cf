"""Features of a recording that tell of drift, and a test whose false-alarm rate is known. Numpy only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobird.audio.amplitude_scaling import POWER_FLOOR, scaling_of
from autobird.audio.mel_scale import band_centres
from autobird.audio.settings import MelSettings
from autobird.audio.windows import frames_per_window

Floats = NDArray[np.float64]

AUDIO_FEATURES = ("mel_mean", "mel_std", "energy_mean", "energy_std", "level", "bandwidth")
"""The original project's four features (mel frames in the front end's units, and frame energy, nats), level (dBFS) and
bandwidth (Hz). With PCEN, from which no power can be had again, its values take the place of power."""

MODEL_FEATURES = ("confidence", "entropy")
"""What the model makes of it: probability of the species it names, and entropy (nats), means over windows."""

FEATURES = AUDIO_FEATURES + MODEL_FEATURES

_ABOVE_SILENCE = 0.02
"""Frames that are nowhere so far above the value of silence are digital silence or padding; a step of float16 there
is 0.008 nats."""

_ROLL_OFF = 0.95
"""Share of the power below the bandwidth."""


def features(
    frames: NDArray[Any],
    firsts: NDArray[np.int64],
    rms: NDArray[Any],
    probabilities: NDArray[Any],
    settings: MelSettings,
) -> dict[str, float]:
    """Features of one recording from its windows that are not quiet (or from all, if all are).

    Args:
        frames: mel frames that hold the recording, shape (frames, mels), in the front end's units. They are rounded to float16, as
            they are stored for training, and a frame that several windows share counts once; digital silence and
            padding do not count.
        firsts: first frame of each window; shape (windows,).
        rms: of each window, full scale = 1; shape (windows,).
        probabilities: of each window; shape (windows, species).
        settings: the front end.
    """
    size = frames_per_window(settings.window_samples, settings.hop_length)
    used = np.unique(firsts[:, None] + np.arange(size))
    x = np.asarray(frames[used], np.float16).astype(np.float64)
    scaling = scaling_of(settings)
    sounding = x.max(axis=1, initial=-np.inf) > scaling.silence + _ABOVE_SILENCE
    x = x[sounding] if sounding.any() else x
    power = scaling.power(x)
    energy = np.log(np.maximum(power.sum(axis=1), POWER_FLOOR))
    share = np.cumsum(power.mean(axis=0))
    band = int(np.searchsorted(share, _ROLL_OFF * share[-1]))
    p = np.maximum(np.asarray(probabilities, np.float64), 1e-12)
    return {
        "mel_mean": float(x.mean()),
        "mel_std": float(x.std()),
        "energy_mean": float(energy.mean()),
        "energy_std": float(energy.std()),
        "level": float(20 * np.log10(max(1e-9, np.sqrt(np.mean(np.asarray(rms, np.float64) ** 2))))),
        "bandwidth": float(band_centres(settings)[min(band, settings.mels - 1)]),
        "confidence": float(p.max(axis=1).mean()),
        "entropy": float(-(p * np.log(p)).sum(axis=1).mean()),
    }


@dataclass(frozen=True)
class Reference:
    """What recordings looked like when the model was made; one row a recording.

    Attributes:
        names: of the features.
        values: shape (recordings, features).
        groups: recordings with the same number belong together (recordist, day, place); shape (recordings,).
    """

    names: tuple[str, ...]
    values: Floats
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Verdict:
    """The answer of a test.

    Attributes:
        drift: whether the alarm goes off.
        statistic: largest two-sample Kolmogorov-Smirnov statistic of a feature.
        threshold: what parts of the reference itself stay below with probability 1 - alarm rate.
        distances: Kolmogorov-Smirnov distance of each feature.
        worst: the feature with the largest distance.
    """

    drift: bool
    statistic: float
    threshold: float
    distances: dict[str, float]
    worst: str


def ks_distances(a: Floats, b: Floats) -> Floats:
    """Largest gap between two empirical distributions, by column; shape (features,)."""
    out = np.empty(a.shape[1])
    for f in range(a.shape[1]):
        points = np.concatenate([a[:, f], b[:, f]])
        left = np.searchsorted(np.sort(a[:, f]), points, side="right") / len(a)
        right = np.searchsorted(np.sort(b[:, f]), points, side="right") / len(b)
        out[f] = np.abs(left - right).max()
    return out


def compare(reference: Reference, current: Floats, alarm_rate: float, resamples: int, seed: int) -> Verdict:
    """Test whether `current` comes from where `reference` does.

    One value a recording, never a window: windows of one recording are alike, and tests on thousands of them always
    fire. The statistic is the largest Kolmogorov-Smirnov statistic over the features. Its threshold comes from the
    reference itself: random parts of it, whole groups of recordings that belong together, are tested against the
    rest, so the alarm's rate on recordings of the same kind is known, however features and recordings depend on
    each other.

    Args:
        reference: with fewer than two groups nothing is called drift.
        current: shape (recordings, features), at least one recording.
        alarm_rate: probability of a false alarm.
        resamples: random parts of the reference.
        seed: of the resampling.
    """
    n, m = len(reference.values), len(current)
    _, codes = np.unique(reference.groups, return_inverse=True)
    found = ks_distances(reference.values, current)
    worst = int(found.argmax())
    statistic = float(np.sqrt(n * m / (n + m)) * found[worst])
    # Of fewer than two groups no part can be held against the rest: the largest value there is never alarms.
    threshold = float(np.sqrt(n * m / (n + m)))
    if codes.max() > 0:
        threshold = float(np.quantile(_null(reference.values, codes, m, resamples, seed), 1 - alarm_rate))
    distances = {name: round(float(d), 4) for name, d in zip(reference.names, found, strict=True)}
    return Verdict(statistic > threshold, round(statistic, 4), round(threshold, 4), distances, reference.names[worst])


def _null(values: Floats, codes: NDArray[np.int64], size: int, resamples: int, seed: int) -> Floats:
    """Statistics of random parts of the reference, whole groups and about `size` recordings, against the rest."""
    rng, n = np.random.default_rng(seed), len(values)
    part = max(1, min(size, n // 2))
    null = np.empty(resamples)
    for i in range(resamples):
        rank = rng.permutation(codes.max() + 1)[codes]
        chosen = np.zeros(n, bool)
        chosen[np.argsort(rank, kind="stable")[:part]] = True
        chosen = np.isin(codes, codes[chosen])
        if chosen.all():
            chosen = rank < rank.max()
        one, rest = values[chosen], values[~chosen]
        null[i] = np.sqrt(len(one) * len(rest) / n) * ks_distances(one, rest).max()
    return null
