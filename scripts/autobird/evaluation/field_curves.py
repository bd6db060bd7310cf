"""Curves of field recordings: precision, recall and false alarms per hour at many thresholds."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.evaluation.field_comparison import FieldComparison
from autobird.evaluation.field_events import SOUND, starts_of_runs
from autobird.evaluation.metrics import ratio

Floats = NDArray[np.float64]

THRESHOLDS = np.unique(np.concatenate([np.linspace(0.01, 0.99, 50), [0.995, 0.998, 0.999]]))
"""Thresholds of the curves, the same for all species."""


def curves_of(comparison: FieldComparison) -> pd.DataFrame:
    """Return precision and recall by window, and false alarms per hour without the model's species, at `THRESHOLDS`.

    Returns:
        columns species ("" for all species pooled), threshold, precision, recall, false_alarms_per_hour.
    """
    c = comparison
    p, empty = c.predictions, c.windows.empty
    hours = float(sum(c.hours[kind].sum() for kind in SOUND))
    pooled = np.zeros((len(THRESHOLDS), 3))  # right windows, detected windows, false alarms
    tables = []
    for s, name in enumerate(p.labels):
        known, present = c.windows.known[:, s], c.windows.present[:, s]
        values = np.zeros((len(THRESHOLDS), 3))
        candidates = np.flatnonzero(p.probabilities[:, s] >= THRESHOLDS[0])
        probabilities = p.probabilities[candidates, s]
        for n, threshold in enumerate(THRESHOLDS):
            windows = candidates[probabilities >= threshold]
            alarms = starts_of_runs(windows[empty[windows]], p.recording)
            values[n] = present[windows].sum(), known[windows].sum(), len(alarms)
        pooled += values
        if present.any() or values[:, 2].any():
            tables.append(_curve(name, values, int(present.sum()), hours))
    return pd.concat([_curve("", pooled, int(c.windows.present.sum()), hours), *tables], ignore_index=True)


def _curve(species: str, values: Floats, present: int, hours: float) -> pd.DataFrame:
    right, detected, alarms = values.T
    has_species = np.full(len(THRESHOLDS), float(present))
    return pd.DataFrame(
        {
            "species": species,
            "threshold": THRESHOLDS,
            "precision": ratio(right, detected) if present else np.nan,
            "recall": ratio(right, has_species),
            "false_alarms_per_hour": alarms / hours if hours else np.nan,
        }
    ).round(6)
