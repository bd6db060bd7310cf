"""Text of the model card about scores, calibration, thresholds and false alarms."""

from typing import Any

import numpy as np
import pandas as pd

from autobird.evaluation.false_alarms_text import rate_text

CALIBRATIONS = {
    "softmax": "its temperature (the number that the model's outputs are divided by, to make the probabilities match the observed "
    "accuracy)",
    "independent": "its calibration (a scale and an offset of the model's output for each species, to make the probabilities match the "
    "observed frequencies)",
}
"""What else is fitted on the validation recordings, by the kind of outputs."""


def field_limits(validation: dict[str, Any], test: dict[str, Any]) -> list[str]:
    """Return the limits of a model whose thresholds were chosen, or false alarms were not measured, without negatives.

    Args:
        validation: `negatives` of the validation split in `metrics.json`.
        test: those of the test split.
    """
    on_validation, on_test = validation["per_hour"], test["per_hour"]
    chosen_without = "the thresholds are chosen on recordings that hold one of the species"
    add = "Add recordings without any of the species (negatives), and train again."
    if on_validation is None and on_test is None:
        return [
            f"- False alarms are not measured, and {chosen_without}: expect far more false detections in the field than in the table "
            f"below. {add}"
        ]
    if on_validation is None:
        return [
            f"- No validation recording is known to hold none of the species, so {chosen_without}: false alarms could be fewer with other "
            f"thresholds. {add}"
        ]
    if on_test is None:
        return [
            "- False alarms are not measured on test recordings, because none is known to hold none of the species. On the validation "
            f"recordings there are {rate_text(on_validation)} per hour; the thresholds are chosen on these, so expect more. {add}"
        ]
    return []


def threshold_lines(species: pd.DataFrame, precision: float | None) -> list[str]:
    """Say what the thresholds were chosen for, and for which species that was not possible."""
    lines = []
    if precision is not None:
        missed = species[~species["precision_reached"].astype(bool)]["species"].tolist()
        lines.append(f"The thresholds were chosen for a precision of {precision:g} on validation.")
        if missed:
            lines.append(
                f"It cannot be reached for {', '.join(missed)}: their thresholds have the highest precision there is."
            )
    pooled = species[~species["threshold_chosen"].astype(bool)]["species"].tolist()
    if pooled:
        lines.append(
            f"Too few validation windows for a threshold of their own, so they have that of all species together: {', '.join(pooled)}."
        )
    return [" ".join(lines), ""] if lines else []


def score_with_interval(value: float, low: float, high: float) -> str:
    """Return a score and its interval as text; a value of NaN is not defined, and an interval of NaN is unknown."""
    if np.isnan(value):
        return "not defined"
    if np.isnan(low):
        return f"{value:.3f} [interval unknown: fewer than two groups]"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
