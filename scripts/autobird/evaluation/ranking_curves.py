"""Stage `ranking_curves`: precision-recall and ROC curves of the test recordings, with average precision and AUROC in a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import write_csv
from autobird.evaluation.bootstrap import Resamples, bounded_interval
from autobird.evaluation.interval_text import interval_columns
from autobird.evaluation.metrics import Weighting, macro_average, ranking_by_species, ratio
from autobird.evaluation.predictions import Items, SplitPredictions
from autobird.evaluation.ranking_figures import pooled_curves_figure, species_curves_figure
from autobird.evaluation.settings import EvaluationSettings, IntervalSettings
from autobird.evaluation.tested import read_test_predictions

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

GRID = np.round(np.linspace(0, 1, 51), 2)
"""Recalls, or false positive rates, at which the curves and their bands are computed."""

POOLED, MEAN = "(all cells pooled)", "(mean over species)"
"""Names of the rows that are not a species."""

_MAX_THRESHOLDS = 400
"""Largest number of thresholds behind a curve: with more different probabilities, they are taken at equal steps of recall and of the
false positive rate, finer than `GRID`."""

_MAX_POOLED = 2000
"""The same for average precision and AUROC of all cells pooled, of which there can be millions."""


@dataclass(frozen=True)
class Cells:
    """Known cells (pairs of an item and a species) that are ranked together.

    Attributes:
        probabilities: shape (cells,).
        present: whether the species is present; shape (cells,).
        group: group of each cell, as an index; shape (cells,).
    """

    probabilities: Floats
    present: Flags
    group: NDArray[np.integer]

    @classmethod
    def of(cls, items: Items, group: NDArray[np.integer], species: int | None = None) -> "Cells":
        """Return the known cells of one species, or of all (None); `group`: of each item, shape (items,)."""
        columns = slice(None) if species is None else slice(species, species + 1)
        known = items.known[:, columns]
        of_cells = np.broadcast_to(group[:, None], known.shape)[known]
        return cls(items.probabilities[:, columns][known], items.present[:, columns][known], of_cells)


def counts_at_thresholds(cells: Cells, weights: Floats, max_thresholds: int = _MAX_THRESHOLDS) -> tuple[Floats, Floats]:
    """Return the weight of the cells with and without the species at or above each threshold, highest threshold first.

    Args:
        cells: the cells.
        weights: weights of the groups, shape (rows, groups).
        max_thresholds: largest number of thresholds.

    Returns:
        Two arrays of shape (rows, 1 + thresholds); the first column, of a threshold that nothing reaches, is 0.
    """
    order = np.argsort(-cells.probabilities, kind="stable")
    probabilities, present, group = cells.probabilities[order], cells.present[order], cells.group[order]
    last = np.flatnonzero(np.append(np.diff(probabilities) != 0, True))  # last cell of each run of equal probabilities
    if len(last) > max_thresholds:
        wanted = [
            np.searchsorted(np.cumsum(flags), np.linspace(0, flags.sum(), max_thresholds // 2))
            for flags in (present, ~present)
        ]
        kept = np.searchsorted(last, np.minimum(np.concatenate(wanted), len(order) - 1))
        last = last[np.unique(np.append(kept, len(last) - 1))]
    step = np.searchsorted(last, np.arange(len(order)))
    counts = []
    for flags in (present, ~present):
        size = (weights.shape[1], len(last))
        of_groups = np.bincount(group[flags] * size[1] + step[flags], minlength=size[0] * size[1]).reshape(size)
        reached = np.cumsum(weights @ of_groups, axis=1)
        counts.append(np.concatenate([np.zeros((len(weights), 1)), reached], axis=1))
    return counts[0], counts[1]


def precision_at_recall(with_species: Floats, without: Floats) -> Floats:
    """Return the precision at the highest threshold with at least each recall of `GRID`; shape (rows, grid).

    Precision between two thresholds is not interpolated, because it is not linear in recall. At a recall of 0 it is that of the
    highest threshold that finds an item with the species.

    Args:
        with_species: result of `counts_at_thresholds`.
        without: the same.
    """
    precision = ratio(with_species, with_species + without)
    out = np.full((len(precision), len(GRID)), np.nan)
    for row, found in enumerate(with_species):
        if found[-1] > 0:
            wanted = np.maximum(GRID * found[-1] * (1 - 1e-12), np.nextafter(0, 1))
            out[row] = precision[row, np.searchsorted(found, wanted)]
    return out


def recall_at_false_positive_rate(with_species: Floats, without: Floats) -> Floats:
    """Return the recall (true positive rate) at each false positive rate of `GRID`, linear between thresholds; shape (rows, grid)."""
    out = np.full((len(without), len(GRID)), np.nan)
    for row, (found, wrong) in enumerate(zip(with_species, without, strict=True)):
        if found[-1] > 0 and wrong[-1] > 0:
            # Of several thresholds with the same false positive rate, np.interp takes the last one: the highest recall.
            out[row] = np.interp(GRID, wrong / wrong[-1], found / found[-1])
    return out


def curve_table(
    species: str, cells: Cells, resamples: Resamples, groups: int, settings: IntervalSettings
) -> pd.DataFrame:
    """Return the curves of a species, or of all pooled, with pointwise intervals.

    Args:
        species: name for the table.
        cells: the cells.
        resamples: resamples of the groups.
        groups: number of groups that contain the species.
        settings: confidence level.

    Returns:
        Columns species, curve (`precision_recall` or `roc`), x (recall, or false positive rate), y (precision, or recall), low, high.
    """
    counts = counts_at_thresholds(cells, resamples.weights)
    tables = []
    for curve, function in (("precision_recall", precision_at_recall), ("roc", recall_at_false_positive_rate)):
        values = function(*counts)
        degrees_of_freedom = max(1.0, groups - 1.0)
        intervals = [
            bounded_interval(values[:, n], resamples, settings.confidence, groups, degrees_of_freedom)
            for n in range(len(GRID))
        ]
        rows = np.array([i or (np.nan, np.nan, np.nan) for i in intervals])
        columns = {"x": GRID, "y": rows[:, 0], "low": rows[:, 1], "high": rows[:, 2]}
        tables.append(pd.DataFrame({"species": species, "curve": curve, **columns}))
    return pd.concat(tables, ignore_index=True)


def pooled_metrics(cells: Cells, weights: Floats) -> tuple[Floats, Floats]:
    """Return average precision and AUROC of all known cells ranked together, whatever their species; each of shape (rows,).

    With more than `_MAX_POOLED` different probabilities, from as many thresholds, which changes them by less than 0.001.

    Args:
        cells: the cells.
        weights: weights of the groups, shape (rows, groups).
    """
    found, wrong = counts_at_thresholds(cells, weights, _MAX_POOLED)
    precision = np.nan_to_num(ratio(found, found + wrong)[:, 1:])
    average_precision = ratio((np.diff(found, axis=1) * precision).sum(axis=1), found[:, -1])
    area = (np.diff(wrong, axis=1) * (found[:, 1:] + found[:, :-1]) / 2).sum(axis=1)
    return average_precision, ratio(area, found[:, -1] * wrong[:, -1])


def ranking_table(
    split: SplitPredictions, resamples: Resamples, labels: Sequence[str], settings: IntervalSettings
) -> pd.DataFrame:
    """Return average precision and AUROC of all cells pooled, of the mean over species, and of each species, with intervals.

    Returns:
        Columns species, level (`recording`, `window`), items and groups with the species, and each metric with `_low` and `_high`.
    """
    rows = []
    for level, items in (("recording", split.recordings), ("window", split.windows)):
        weighting = Weighting.of(resamples, items)
        by_species = ranking_by_species(items.probabilities, items.present, items.known, weighting)
        counts = {"items": int(items.present.any(axis=1).sum()), "groups": weighting.count_groups(items.present)}
        pooled = pooled_metrics(Cells.of(items, weighting.group), weighting.weights)
        means = [macro_average(values) for values in by_species]
        for name, values in ((POOLED, pooled), (MEAN, means)):
            rows.append({"species": name, "level": level, **counts, **_columns(values, resamples, settings, 1, counts)})
        for s, name in enumerate(labels):
            present = items.present[:, s]
            counts = {"items": int(present.sum()), "groups": weighting.count_groups(present)}
            values = [metric[:, s] for metric in by_species]
            freedom = max(1.0, counts["groups"] - 1.0)
            rows.append(
                {"species": name, "level": level, **counts, **_columns(values, resamples, settings, freedom, counts)}
            )
    return pd.DataFrame(rows).round(4)


def _columns(
    values: Sequence[Floats],
    resamples: Resamples,
    settings: IntervalSettings,
    min_degrees_of_freedom: float,
    counts: dict[str, int],
) -> dict[str, float | None]:
    """Return average precision and AUROC with their intervals as columns."""
    out: dict[str, float | None] = {}
    for name, of_rows in zip(("average_precision", "auroc"), values, strict=True):
        interval = bounded_interval(of_rows, resamples, settings.confidence, counts["groups"], min_degrees_of_freedom)
        out |= interval_columns(name, interval)
    return out


def curves_of(
    split: SplitPredictions, resamples: Resamples, labels: Sequence[str], settings: IntervalSettings
) -> pd.DataFrame:
    """Return the curves (`curve_table`) by recording of all cells pooled and of each species that a test recording contains."""
    items = split.recordings
    weighting = Weighting.of(resamples, items)
    groups = weighting.count_groups(items.present)
    tables = [curve_table(POOLED, Cells.of(items, weighting.group), resamples, groups, settings)]
    for s, name in enumerate(labels):
        if items.present[:, s].any():
            groups = weighting.count_groups(items.present[:, s])
            tables.append(curve_table(name, Cells.of(items, weighting.group, s), resamples, groups, settings))
    return pd.concat(tables, ignore_index=True).round(4)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    for name in ("predictions", "calibration", "labels"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True, help="of the run, or of each fold")
    outputs = ("table", "curves", "figure", "species-figure")
    for name in outputs:
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    with stage("ranking_curves", args, [getattr(args, name.replace("-", "_")) for name in outputs]):
        tested = read_test_predictions(args.predictions, args.calibration, args.labels)
        resamples = tested.split.resamples(settings.resamples, settings.seed)
        table = ranking_table(tested.split, resamples, tested.labels, settings)
        write_csv(args.table, table)
        curves = curves_of(tested.split, resamples, tested.labels, settings)
        write_csv(args.curves, curves)
        by_recording = table[table["level"] == "recording"]
        pooled_curves_figure(args.figure, curves, by_recording, settings.confidence)
        species_curves_figure(args.species_figure, curves, by_recording, settings.confidence)
        log.info("curves of %d species", by_recording["average_precision"].notna().sum() - 2)


if __name__ == "__main__":
    run(main)
