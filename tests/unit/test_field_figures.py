"""Figures of the evaluation on field recordings: what is drawn where there is no false alarm."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from autobird.evaluation import field_figures


def _rate(value: float, hours: float) -> dict[str, Any]:
    return {"per_hour": {"value": value, "low": 0.0, "high": value + 1.0}, "hours": hours}


def _drawn(rates: list[float], hours: float, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """Return the figure of these false alarms per hour at rising thresholds; the first one is that of the bundle."""
    drawn: list[Figure] = []
    monkeypatch.setattr(field_figures, "save", lambda figure, _: drawn.append(figure))
    curves = pd.DataFrame({"species": "", "threshold": np.linspace(0, 1, len(rates)), "false_alarms_per_hour": rates})
    alarms: dict[str, Any] = dict.fromkeys(
        ("overall", "without_model_species", "no_species", "unknown_species"), _rate(rates[0], hours)
    )
    metrics = {"false_alarms": {**alarms, "by_site": {}}, "confidence": 0.95}
    field_figures.false_alarms_figure(Path("x.png"), curves, metrics)
    return drawn[0]


def test_thresholds_without_a_false_alarm_have_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    left, _ = _drawn([60.0, 20.0, 0.0, 0.0], 0.1, monkeypatch).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [60.0, 20.0, np.nan, np.nan])


def test_rates_of_many_hours_are_drawn_with_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = _drawn([0.03, 0.01, 0.0], 100, monkeypatch).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [0.03, 0.01, np.nan])
    points = [np.asarray(line.get_xdata())[0] for line in right.lines if line.get_marker() == "o"]
    assert points == [0.03] * 4


def test_logarithmic_axes_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = _drawn([60.0, 20.0, 4.0], 2, monkeypatch).axes
    for label, ticks in ((left.get_ylabel(), left.get_yticks()), (right.get_xlabel(), right.get_xticks())):
        assert label.endswith("false alarms per hour (logarithmic scale)")
        assert len(ticks) >= 4


def test_a_model_without_false_alarms_has_no_line_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = _drawn([0.0, 0.0], 2, monkeypatch)
    left, right = drawn.axes
    drawn.canvas.draw()
    assert np.isnan(np.asarray(left.lines[0].get_ydata(), float)).all()
    assert len(left.lines) == 1
    assert [line.get_marker() for line in right.lines].count("<") == 4


def test_no_legend_covers_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose delivered recall and precision are low: its point is in a corner."""
    drawn: list[Figure] = []
    monkeypatch.setattr(field_figures, "save", lambda figure, _: drawn.append(figure))
    low = {"value": 0.02, "low": 0.0, "high": 0.1}
    for species in (1, 30):
        names = [f"species {n}" for n in range(species)]
        curves = pd.DataFrame(
            {"species": ["", ""], "threshold": [0.1, 0.9], "recall": [0.1, 0.0], "precision": [0.1, 0.0]}
        )
        scores = {f"event_{name}{end}": 0.02 for name in ("precision", "recall") for end in ("", "_low", "_high")}
        table = pd.DataFrame([{"species": name, "windows": 3, "events": 2, **scores} for name in names])
        metrics = {
            "by_window": {"detection_recall": low, "detection_precision": low},
            "by_event": {"events": 2},
            "confidence": 0.95,
        }
        field_figures.precision_recall_figure(Path("x.png"), curves, table, metrics)
    for fig in drawn:
        fig.canvas.draw()
        for axes in fig.axes:
            legend, label = axes.get_legend().get_window_extent(), axes.xaxis.get_label().get_window_extent()
            assert not legend.overlaps(axes.get_window_extent())
            assert not legend.overlaps(label)
