"""A student beside its teacher and the same network without a teacher: the rows of the comparison, and the gain over the latter.

A student is released only if it is better than the network that its user could have without the teacher, whose licence it inherits.
"""

from collections.abc import Mapping

import pandas as pd

from autobird.core.wording import counted
from autobird.evaluation.bootstrap import difference_interval
from autobird.evaluation.metrics import Weighting, macro_f1
from autobird.evaluation.predictions import predictions_of_split
from autobird.predict.classification import Calibration
from autobird.release.settings import CompareSettings

SCRATCH = "scratch"
"""Name of the network without a teacher in the comparison."""

Interval = tuple[float, float, float]


def aligned(reference: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of a reference for the windows of another table, in its order; both have the columns of `PREDICTIONS`."""
    key = ["recording", "start"]
    return like[key].merge(reference, on=key, how="left", validate="one_to_one")[list(like.columns)]


def gains(
    tables: Mapping[str, pd.DataFrame],
    calibrations: Mapping[str, Calibration],
    labels: list[str],
    settings: CompareSettings,
) -> dict[str, Interval | None]:
    """Return the gain in macro-F1 of each variant over `SCRATCH` on the validation recordings: value, lower and upper end.

    The interval is that of the paired difference, from a bootstrap over the groups of recordings. It is None if there are too few.

    Args:
        tables: logits (`PREDICTIONS`) of the variants and of `SCRATCH`, for the same windows.
        calibrations: their calibrations.
        labels: species in the order of the logits.
        settings: bootstrap and confidence level.
    """
    splits = {name: predictions_of_split(t, labels, "validation", calibrations[name]) for name, t in tables.items()}
    draws = splits[SCRATCH].resamples(settings.resamples, settings.seed)
    weighting = Weighting.of(draws, splits[SCRATCH].recordings)
    values = {name: macro_f1(split.recordings, weighting).values for name, split in splits.items()}
    return {
        name: difference_interval(value - values[SCRATCH], draws, settings.confidence)
        for name, value in values.items()
        if name != SCRATCH
    }


def refusals(found: Mapping[str, Interval | None], min_gain: float) -> dict[str, str]:
    """Return for each variant that does not gain enough over the network without a teacher, the reason.

    Args:
        found: `gains`.
        min_gain: smallest acceptable lower end of the interval, which must exceed it; -1: any.
    """
    if min_gain <= -1:
        return {}
    return {name: _gain(interval) for name, interval in found.items() if interval is None or not interval[1] > min_gain}


def not_released(refused: Mapping[str, str], recordings: int, groups: int, min_gain: float) -> str:
    """Return why no variant is released, with the remedy, as one line.

    Args:
        refused: `refusals`, of all variants.
        recordings: number of validation recordings of which one species alone is known to be present.
        groups: number of independent groups of these recordings.
        min_gain: see `refusals`.
    """
    return (
        f"no bundle is written: the network with a teacher (float) {refused['float']} over the same network without one on "
        f"{counted(recordings, 'validation recording')} in {counted(groups, 'group')}, and the lower end must exceed "
        f"{min_gain:g}; add recordings, remove "
        "train.teacher to release the network without one, or set release.min_gain to -1 to release it nevertheless "
        "(snakemake crossval tests both on all recordings)"
    )


def _gain(interval: Interval | None) -> str:
    if interval is None:
        return "has an unknown gain of macro-F1"
    return f"gains {interval[0]:.3f} [{interval[1]:.3f}, {interval[2]:.3f}] of macro-F1"
