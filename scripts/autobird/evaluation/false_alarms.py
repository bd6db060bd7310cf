"""False alarms: detections in sound that is known to hold none of the species, per hour of that sound."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core import quantiles
from autobird.evaluation.bootstrap import Interval
from autobird.evaluation.predictions import QUIET_SPLITS, SplitPredictions
from autobird.evaluation.rates import rate_interval
from autobird.evaluation.settings import IntervalSettings
from autobird.predict.classification import run_starts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WindowSound:
    """The sound of the windows of a split.

    Attributes:
        number: number of each window in its recording, counted with the quiet ones; shape (windows,).
        seconds: sound from the start of each window to that of the next one, or to the end of the recording; shape (windows,).
        group: group of the recording of each window; shape (windows,).
        quiet: the quiet windows of recordings without any species; columns recording, group, seconds.
    """

    number: Ints
    seconds: Floats
    group: NDArray[np.str_]
    quiet: pd.DataFrame

    @classmethod
    def of(cls, table: pd.DataFrame, split: str) -> Self:
        """Return the sound of the windows of a split, in their order (`PREDICTIONS`)."""
        return cls.of_rows(table[table["split"] == split], table[table["split"] == QUIET_SPLITS[split]])

    @classmethod
    def of_rows(cls, rows: pd.DataFrame, quiet: pd.DataFrame) -> Self:
        """Return the sound of windows that are not quiet (`rows`), and of quiet ones (`PREDICTIONS`)."""
        return cls(
            rows["number"].to_numpy(np.int64),
            rows["seconds"].to_numpy(np.float64),
            rows["group"].to_numpy(str),
            quiet[["recording", "group", "seconds"]].reset_index(drop=True),
        )


@dataclass(frozen=True)
class FalseAlarms:
    """Numbers of false alarms in recordings without any species.

    Attributes:
        counts: number of detections; shape (groups, species).
        hours: duration of the recordings, quiet windows included; shape (groups,).
        quiet_hours: duration of the quiet windows of all recordings.
        recordings: number of recordings, also those in which all windows are quiet.
    """

    counts: Floats
    hours: Floats
    quiet_hours: float
    recordings: int

    def rate(self, confidence: float, species: int | None = None) -> Interval | None:
        """Return the false alarms per hour, of one species or of all together, with the interval over groups (`rate_interval`).

        Returns:
            None if there is no sound without species.
        """
        counts = self.counts.sum(axis=1) if species is None else self.counts[:, species]
        return rate_interval(counts, self.hours, confidence)


def false_alarms(split: SplitPredictions, sound: WindowSound) -> FalseAlarms:
    """Count the detections in the recordings of a split that hold none of the species, as they are delivered.

    A detection is a run of consecutive windows in which a species is detected (`run_starts`). All sound of these recordings counts as
    time, also quiet windows, in which nothing can be detected: a recorder listens to them, too.

    Args:
        split: the predictions.
        sound: of their windows.
    """
    negative = split.recordings.negative
    windows = negative[split.windows.recording]
    recording = split.windows.recording[windows]
    starts = run_starts(split.windows.detected[windows], recording, sound.number[windows])
    quiet = sound.quiet["seconds"].to_numpy(np.float64) / 3600
    groups, group = np.unique(
        np.concatenate([sound.group[windows], sound.quiet["group"].to_numpy(str)]), return_inverse=True
    )
    counts = np.zeros((len(groups), starts.shape[1]))
    np.add.at(counts, group[: len(starts)], starts)
    hours = np.zeros(len(groups))
    np.add.at(hours, group, np.concatenate([sound.seconds[windows] / 3600, quiet]))
    names = {name for name, is_negative in zip(split.names, negative, strict=True) if is_negative}
    return FalseAlarms(counts, hours, float(quiet.sum()), len(names.union(sound.quiet["recording"])))


def mean_of_seeds(seeds: Sequence[FalseAlarms]) -> FalseAlarms:
    """Return the false alarms of networks that were trained with several seeds, in the same sound; numbers are means over the seeds."""
    return replace(seeds[0], counts=np.mean([seed.counts for seed in seeds], axis=0))


def false_alarm_ratio(of: FalseAlarms, reference: FalseAlarms, settings: IntervalSettings) -> Interval | None:
    """Return the number of false alarms of one network divided by that of another one in the same sound, with a paired interval.

    To both numbers 0.5 is added, so that the ratio is defined without any false alarm. The interval is that of Student's t on the
    logarithmic scale, from a bootstrap over groups. Its variance is computed as if the networks differed in one more false alarm, because
    few different ones say little.

    Args:
        of: false alarms of the network.
        reference: those of the other one, in the same groups.
        settings: bootstrap and confidence level.

    Returns:
        None with fewer than two groups.
    """
    groups = len(of.hours)
    if groups < 2:
        return None
    counts = np.stack([of.counts.sum(axis=1), reference.counts.sum(axis=1)])
    rng = np.random.default_rng(settings.seed)
    # n - 1 of n groups are drawn, as in `resample_groups`.
    draws = rng.multinomial(groups - 1, np.full(groups, 1 / groups), size=settings.resamples) * (groups / (groups - 1))
    resampled = counts @ draws.T + 0.5
    total = counts.sum(axis=1) + 0.5
    error = np.sqrt(np.log(resampled[0] / resampled[1]).var(ddof=1) + (1 / total[1]) ** 2)
    factor = float(np.exp(quantiles.student((1 + settings.confidence) / 2, groups - 1) * error))
    ratio = float(total[0] / total[1])
    if of is reference:
        return 1.0, 1.0, 1.0
    return ratio, ratio / factor, ratio * factor
