"""Precision-recall and ROC curves: the values of scikit-learn, ties, many probabilities, species without recordings."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from autobird.evaluation.predictions import Items, SplitPredictions
from autobird.evaluation.ranking_curves import (
    GRID,
    MEAN,
    POOLED,
    Cells,
    counts_at_thresholds,
    curves_of,
    precision_at_recall,
    ranking_table,
    recall_at_false_positive_rate,
)
from autobird.evaluation.settings import IntervalSettings

SETTINGS = IntervalSettings(resamples=100)


def cells(count: int, decimals: int) -> Cells:
    """Return cells of which a third have the species, with probabilities of so many decimals."""
    rng = np.random.default_rng(0)
    present = rng.random(count) < 1 / 3
    return Cells(np.round(0.3 * present + 0.7 * rng.random(count), decimals), present, np.arange(count) % 5)


def split(probabilities: list[list[float]], present: list[list[int]], group: list[int]) -> SplitPredictions:
    """Return recordings of one window each."""
    p, there = np.array(probabilities), np.array(present, bool)
    n = len(p)
    items = Items(p, p >= 0.5, there, np.ones_like(there), np.zeros(n, bool), np.arange(n), is_independent=True)
    return SplitPredictions(items, items, [f"r{i}" for i in range(n)], np.array(group))


@pytest.mark.parametrize("decimals", [1, 8])
def test_curves_have_the_values_of_scikit_learn_with_and_without_ties(decimals: int) -> None:
    found = cells(150, decimals)
    counts = counts_at_thresholds(found, np.ones((1, 5)))
    precision, recall, _ = precision_recall_curve(found.present, found.probabilities)
    # At the highest threshold with at least this recall; scikit-learn's recalls fall.
    expected = [precision[np.flatnonzero((recall >= r - 1e-12) & (recall > 0))[-1]] for r in GRID]
    np.testing.assert_allclose(precision_at_recall(*counts)[0], expected)
    false_positive_rate, true_positive_rate, _ = roc_curve(found.present, found.probabilities, drop_intermediate=False)
    roc = recall_at_false_positive_rate(*counts)[0]
    np.testing.assert_allclose(roc, np.interp(GRID, false_positive_rate, true_positive_rate))


def test_the_weight_of_a_group_counts_its_items_as_often() -> None:
    found = cells(60, 1)
    twice = Cells(
        *(
            np.concatenate([values, values[found.group == 2]])
            for values in (found.probabilities, found.present, found.group)
        )
    )
    weighted = counts_at_thresholds(found, np.array([[1, 1, 2, 1, 1.0]]))
    for a, b in zip(weighted, counts_at_thresholds(twice, np.ones((1, 5))), strict=True):
        np.testing.assert_allclose(a, b)


def test_with_many_probabilities_the_curve_differs_by_less_than_a_step_of_the_grid() -> None:
    found = cells(5000, 8)
    counts = counts_at_thresholds(found, np.ones((1, 5)))
    assert counts[0].shape[1] <= 402
    assert (counts[0][0, -1], counts[1][0, -1]) == (found.present.sum(), (~found.present).sum())
    false_positive_rate, true_positive_rate, _ = roc_curve(found.present, found.probabilities)
    roc = recall_at_false_positive_rate(*counts)[0]
    assert np.abs(roc - np.interp(GRID, false_positive_rate, true_positive_rate)).max() < 0.01


def test_the_table_has_the_scores_of_all_cells_of_the_mean_and_of_each_species() -> None:
    rng = np.random.default_rng(1)
    present = np.eye(3, dtype=int)[np.arange(24) % 2]  # the third species is never there
    p = 0.3 * present + 0.7 * rng.random(present.shape)
    found = split(p.tolist(), present.tolist(), list(range(24)))
    resamples = found.resamples(SETTINGS.resamples, 0)
    table = ranking_table(found, resamples, ["a", "b", "c"], SETTINGS)
    rows = table[table["level"] == "recording"].set_index("species")
    assert rows.loc["a", "average_precision"] == pytest.approx(
        average_precision_score(present[:, 0], p[:, 0]), abs=1e-4
    )
    assert rows.loc["b", "auroc"] == pytest.approx(roc_auc_score(present[:, 1], p[:, 1]), abs=1e-4)
    pooled = average_precision_score(present.ravel(), p.ravel()), roc_auc_score(present.ravel(), p.ravel())
    assert rows.loc[POOLED, ["average_precision", "auroc"]].tolist() == pytest.approx(pooled, abs=1e-4)
    assert rows.loc[MEAN, "auroc"] == pytest.approx(rows.loc[["a", "b"], "auroc"].mean(), abs=1e-4)
    assert (
        rows.loc["a", "average_precision_low"]
        < rows.loc["a", "average_precision"]
        < rows.loc["a", "average_precision_high"]
    )
    assert rows.loc["c", ["items", "groups"]].tolist() == [0, 0]
    assert rows.loc["c", ["average_precision", "auroc", "auroc_low"]].isna().all()
    curves = curves_of(found, resamples, ["a", "b", "c"], SETTINGS)
    assert curves["species"].unique().tolist() == [POOLED, "a", "b"]
    assert (curves["low"] <= curves["y"] + 1e-4).all()
    assert (curves["y"] <= curves["high"] + 1e-4).all()
