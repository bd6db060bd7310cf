"""Stage `confusions`: the pairs of species that are most often confused in test recordings, with spectrograms side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.settings import MelSettings
from autobird.core.files import write_json
from autobird.core.memory_maps import memory_maps
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.core.wording import counted
from autobird.evaluation.bootstrap import Resamples, bounded_interval
from autobird.evaluation.confusion_examples import CATALOGUED, examples_of
from autobird.evaluation.confusion_spectrograms import confusion_spectrograms
from autobird.evaluation.interval_text import interval_columns
from autobird.evaluation.metrics import Weighting, predicted_and_true, ratio
from autobird.evaluation.pooling import first_seed_sentence
from autobird.evaluation.predictions import SplitPredictions
from autobird.evaluation.settings import EvaluationSettings, IntervalSettings
from autobird.evaluation.tested import read_test_predictions

MAX_PAIRS = 6
"""Largest number of pairs with spectrograms."""

_IN_SUMMARY = 5
"""Largest number of pairs in the summary."""

_COLUMNS = [
    "species",
    "answered",
    "recordings",
    "groups",
    "of_recordings",
    "share",
    "share_low",
    "share_high",
    "windows",
]


def confusion_table(
    split: SplitPredictions, resamples: Resamples, labels: Sequence[str], settings: IntervalSettings
) -> pd.DataFrame:
    """Return the pairs of species that are confused in test recordings, the most frequent ones first.

    A pair is a true species and the most probable one, in the recordings of which one species alone is known to be present. Pairs are
    sorted by the number of independent groups, because the recordings of one session are confused together.

    Returns:
        Columns species, answered (the most probable species), recordings, groups, of_recordings (recordings of the species), share
        (of these that are confused) with its interval, and windows (that are confused, in all such windows).
    """
    items = split.recordings
    predicted, truth, single = predicted_and_true(items)
    weighting = Weighting.of(resamples, items).subset(single)
    windows, window_truth, _ = predicted_and_true(split.windows)
    true, answer = truth.argmax(axis=1), predicted.argmax(axis=1)
    wrong = true != answer
    pairs, pair = np.unique(np.stack([true, answer], axis=1)[wrong], axis=0, return_inverse=True)
    window_count = window_truth.T.astype(int) @ windows
    # Every recording is of one species and, if it is confused, in one pair: counts by group give all weighted sums in one product.
    by_pair = _count_by_group(weighting.group[wrong], pair.ravel(), weighting.weights.shape[1], len(pairs))
    by_species = _count_by_group(weighting.group, true, weighting.weights.shape[1], len(labels))
    confused, of_species = weighting.weights @ by_pair, weighting.weights @ by_species
    groups_of_species = (by_species > 0).sum(axis=0)
    rows = []
    for n, (species, answered) in enumerate(pairs):
        values, groups = ratio(confused[:, n], of_species[:, species]), int(groups_of_species[species])
        interval = bounded_interval(values, resamples, settings.confidence, groups, max(1.0, groups - 1.0))
        rows.append(
            {
                "species": labels[species],
                "answered": labels[answered],
                "recordings": int(by_pair[:, n].sum()),
                "groups": int((by_pair[:, n] > 0).sum()),
                "of_recordings": int(by_species[:, species].sum()),
                **interval_columns("share", interval),
                "windows": int(window_count[species, answered]),
            }
        )
    table = pd.DataFrame(rows, columns=_COLUMNS).round(4)
    order = ["groups", "recordings", "windows", "species", "answered"]
    return table.sort_values(order, ascending=[False, False, False, True, True], ignore_index=True)


def _count_by_group(group: NDArray[np.integer], kind: NDArray[np.integer], groups: int, kinds: int) -> NDArray[np.intp]:
    """Return the number of items of each kind in each group; shape (groups, kinds)."""
    return np.bincount(group * kinds + kind, minlength=groups * kinds).reshape(groups, kinds)


def summary(table: pd.DataFrame, split: SplitPredictions) -> str:
    """Return the most frequent confusions as Markdown, for the model card.

    Args:
        table: result of `confusion_table`.
        split: predictions for the test recordings.
    """
    of_one_species = int((split.recordings.only_species >= 0).sum())
    if split.recordings.probabilities.shape[1] < 2:
        return "The model knows a single species and cannot confuse it with another one."
    if not of_one_species:
        return "Confusions are not counted, because no test recording is known to hold one species alone."
    if not len(table):
        return f"None of the {counted(of_one_species, 'test recording')} of one species is taken for another species."
    total = int(table["recordings"].sum())
    lines = [
        f"{total} of the {counted(of_one_species, 'test recording')} of one species "
        f"{'has' if total == 1 else 'have'} another species as the most probable one. The most frequent pairs (one with a single group "
        "may be chance):",
        "",
        "| true species | taken for | recordings (groups) | share of its test recordings |",
        "|---|---|---|---|",
    ]
    for row in table.head(_IN_SUMMARY).to_dict("records"):
        bounds = "interval unknown" if pd.isna(row["share_low"]) else f"{row['share_low']:.2f}, {row['share_high']:.2f}"
        lines.append(
            f"| *{row['species']}* | *{row['answered']}* | {row['recordings']} ({row['groups']}) | {row['share']:.2f} [{bounds}] |"
        )
    if len(table) > _IN_SUMMARY:
        lines += [
            "",
            f"{counted(len(table) - _IN_SUMMARY, 'other pair is', 'other pairs are')} in `confusions.csv` of the run.",
        ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    for name in ("predictions", "calibration", "labels"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True, help="of the run, or of each fold")
    p.add_argument("--features", required=True, help="settings of the front end as JSON")
    p.add_argument(
        "--index", type=Path, required=True, help="index of windows; of a cross-validation, that of any fold"
    )
    p.add_argument("--shards", type=Path, nargs="+", required=True, help="mel frames of all batches, in their order")
    p.add_argument("--catalogue", type=Path, required=True)
    outputs = ("result", "table", "examples", "figure")
    for name in outputs:
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    features = settings_of(MelSettings, args.features)
    with stage("confusions", args, [getattr(args, name) for name in outputs]):
        tested = read_test_predictions(args.predictions, args.calibration, args.labels)
        resamples = tested.split.resamples(settings.resamples, settings.seed)
        table = confusion_table(tested.split, resamples, tested.labels, settings)
        write_csv(args.table, table)
        index, catalogue = read_table(args.index), read_table(args.catalogue, CATALOGUED)
        examples = examples_of(tested, table.head(MAX_PAIRS), index, catalogue, features)
        write_csv(args.examples, examples.drop(columns=["shard", "first_frame"]))
        shards = memory_maps(args.shards)
        confusion_spectrograms(args.figure, table.head(MAX_PAIRS), examples, shards, features)
        result: dict[str, Any] = {
            "recordings": len(tested.split.names),
            "recordings_of_one_species": int((tested.split.recordings.only_species >= 0).sum()),
            "confused": int(table["recordings"].sum()),
            "pairs": len(table),
            "summary": summary(table, tested.split) + first_seed_sentence(len(args.predictions)),
        }
        write_json(args.result, result)
        log.info("%d pairs of species are confused, %d are drawn", len(table), min(len(table), MAX_PAIRS))


if __name__ == "__main__":
    run(main)
