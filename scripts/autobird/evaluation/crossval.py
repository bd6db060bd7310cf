"""Stage `pool`: the scores of a cross-validation, from the test predictions of all its folds and seeds."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, print_line, run, settings_of, stage
from autobird.core.tables import read_table, read_tables, write_csv, write_table
from autobird.core.wording import counted
from autobird.evaluation.crossval_figure import crossval_figure
from autobird.evaluation.crossval_scores import Scores
from autobird.evaluation.crossval_species import SpeciesScores, species_table
from autobird.evaluation.evaluate import negatives_json, read_calibration
from autobird.evaluation.false_alarms import FalseAlarms, false_alarms, mean_of_seeds
from autobird.evaluation.pooling import (
    FoldPredictions,
    PooledPredictions,
    check_same_recordings,
    pool,
)
from autobird.evaluation.predictions import Items
from autobird.evaluation.settings import EvaluationSettings

LEVELS = ("by_recording", "by_window")

POOLED = pa.schema(
    [
        ("recording", pa.string()),
        ("group", pa.string()),
        ("sha256", pa.string()),
        ("fold", pa.int32()),
        ("seed", pa.int64()),
        ("present", pa.list_(pa.string())),
        ("absent", pa.list_(pa.string())),
        ("unknown", pa.list_(pa.string())),
        ("default", pa.string()),
        ("probabilities", pa.list_(pa.float64())),
        ("detected", pa.list_(pa.bool_())),
    ]
)
"""One row per recording and seed, sorted by seed and recording. `sha256` is that of the decoded sound; `present`, `absent`, `unknown`
and `default` are the label set of the recording (as in `INDEX`); `probabilities` and `detected` have one value per label of
`crossval.json`, in their order."""


@dataclass(frozen=True)
class MemberFiles:
    """A network of a cross-validation: its fold and seed, the species that it knows, and the files of its predictions."""

    fold: int
    seed: int
    labels: list[str]
    predictions: Path
    calibration: Path

    def read(self) -> FoldPredictions:
        """Read the predictions and the calibration."""
        _, calibration = read_calibration(self.calibration)
        return FoldPredictions(self.fold, self.seed, self.labels, calibration, read_table(self.predictions))


def members_table(
    members: Sequence[MemberFiles], labels: list[str], scores: Scores, pooled: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per fold and seed: numbers of recordings and groups, unknown species, and the metrics per recording.

    Args:
        members: the networks.
        labels: species that at least one of them knows.
        scores: metrics of all folds and seeds.
        pooled: the tested recordings; columns fold, group.
    """
    rows = []
    for member in members:
        tested = pooled[pooled["fold"] == member.fold]
        rows.append(
            {
                "member": f"fold{member.fold}.seed{member.seed}",
                "fold": member.fold,
                "seed": member.seed,
                "test_recordings": len(tested),
                "test_groups": tested["group"].nunique(),
                "unknown_species": "; ".join(name for name in labels if name not in member.labels),
                **{name: values[member.fold, member.seed] for name, values in scores.by_member["by_recording"].items()},
            }
        )
    return pd.DataFrame(rows).round(4)


def predictions_table(predictions: PooledPredictions, sha256: "pd.Series[str]") -> pd.DataFrame:
    """Return the pooled predictions of a seed per recording (`POOLED`).

    Args:
        predictions: of the seed.
        sha256: checksum of the decoded sound of each recording.
    """
    items = predictions.split.recordings
    return predictions.table.assign(
        sha256=predictions.table["recording"].map(sha256),
        seed=predictions.seed,
        probabilities=list(items.probabilities),
        detected=list(items.detected),
    )


def by_seed(members: Sequence[MemberFiles], labels: list[str]) -> Iterator[PooledPredictions]:
    """Yield the pooled predictions of each seed; only those of one seed have to be in memory.

    Raises:
        AutobirdError: the seeds do not test the same recordings, or one of them tests a recording twice.
    """
    first: tuple[int, pd.DataFrame] | None = None
    for seed in sorted({member.seed for member in members}):
        pooled = pool([member.read() for member in members if member.seed == seed], labels)
        first = first or (seed, pooled.table)
        check_same_recordings(first, pooled)
        yield pooled


@dataclass(frozen=True)
class Pooled:
    """The pooled predictions of all seeds, evaluated.

    Attributes:
        scores: all metrics.
        species: the metrics of each species.
        recordings: the recordings of the first seed.
        windows: numbers of windows: all, those of one species, and those whose species are all known.
        tables: predictions of each seed (`predictions_table`).
        alarms: false alarms of each seed.
    """

    scores: Scores
    species: SpeciesScores
    recordings: Items
    windows: tuple[int, int, int]
    tables: list[pd.DataFrame]
    alarms: list[FalseAlarms]


def evaluate(
    members: Sequence[MemberFiles], labels: list[str], sha256: "pd.Series[str]", settings: EvaluationSettings
) -> Pooled:
    """Pool and evaluate the predictions seed by seed, all with the same resamples of the groups.

    Args:
        members: the networks.
        labels: species that at least one of them knows.
        sha256: checksum of the decoded sound of each recording.
        settings: resamples and their seed.
    """
    out: Pooled | None = None
    for pooled in by_seed(members, labels):
        split = pooled.split
        if out is None:
            resamples = split.resamples(settings.resamples, settings.seed)
            single, complete = split.windows.only_species >= 0, split.windows.complete
            windows = (len(single), int(single.sum()), int(complete.sum()))
            out = Pooled(Scores(resamples), SpeciesScores(resamples), split.recordings, windows, [], [])
        out.scores.add(pooled)
        out.species.add(split.recordings)
        out.tables.append(predictions_table(pooled, sha256))
        out.alarms.append(false_alarms(split, pooled.sound))
    assert out is not None
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--members", required=True, help="fold and seed of each network, as a JSON list of pairs")
    p.add_argument(
        "--ensemble", default="null", help="mode and seeds of the ensembles that were tested or learned from, as JSON"
    )
    p.add_argument("--predictions", type=Path, nargs="+", required=True, help="logits of the networks, in their order")
    p.add_argument("--calibrations", type=Path, nargs="+", required=True, help="calibrations, in the same order")
    p.add_argument("--labels", type=Path, nargs="+", required=True, help="species of each fold")
    p.add_argument("--counts", type=Path, required=True, help="numbers of recordings of one of the folds")
    p.add_argument("--recordings", type=Path, nargs="+", required=True, help="tables of the decoded recordings")
    outputs = ("result", "table", "species", "figure", "pooled")
    for name in outputs:
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    with stage("pool", args, [getattr(args, name) for name in outputs]):
        labels_of_fold: list[list[str]] = [read_json(path) for path in args.labels]
        labels = sorted(set().union(*labels_of_fold))
        members = [
            MemberFiles(fold, seed, labels_of_fold[fold], *files)
            for (fold, seed), *files in zip(json.loads(args.members), args.predictions, args.calibrations, strict=True)
        ]
        sha256 = read_tables(args.recordings, ["recording", "sound_sha256"]).set_index("recording")["sound_sha256"]
        pooled = evaluate(members, labels, sha256, settings)
        unknown = {
            f"fold{fold}": [name for name in labels if name not in known]
            for fold, known in enumerate(labels_of_fold)
            if set(known) != set(labels)
        }
        write_csv(args.species, species_table(pooled.species, pooled.recordings, labels, unknown, settings))
        write_csv(args.table, members_table(members, labels, pooled.scores, pooled.tables[0]))
        write_table(args.pooled, pd.concat(pooled.tables, ignore_index=True), POOLED)
        counts = read_json(args.counts)
        tested = len(pooled.tables[0])
        result = {
            "folds": len(labels_of_fold),
            "seeds": sorted({member.seed for member in members}),
            "ensemble": json.loads(args.ensemble),
            "confidence": settings.confidence,
            "resamples": settings.resamples,
            "labels": labels,
            "unknown_species": unknown,
            "recordings": tested,
            "recordings_of_one_species": int((pooled.recordings.only_species >= 0).sum()),
            "recordings_with_known_species": int(pooled.recordings.complete.sum()),
            "recordings_not_tested": counts["recordings"] - counts["recordings_quarantined"] - tested,
            "groups": pooled.scores.resamples.groups,
            **dict(
                zip(("windows", "windows_of_one_species", "windows_with_known_species"), pooled.windows, strict=True)
            ),
            **{level: pooled.scores.json(level, settings.confidence) for level in LEVELS},
            "negatives": negatives_json(mean_of_seeds(pooled.alarms), settings.confidence),
        }
        write_json(args.result, result)
        crossval_figure(args.figure, result)
        _report(result, args.result)


_TESTED_BY = {"none": "a network", "average": "an ensemble", "distill": "a network that an ensemble taught and"}


def _report(result: dict[str, Any], file: Path) -> None:
    """Log the result, and print its main score, and where the others are (`file`, in the folder crossval of the run)."""
    for fold, names in result["unknown_species"].items():
        log.warning("%s: no training recordings of %s, which have probability 0 there", fold, ", ".join(names))
    log.info(
        "%d accepted recordings are not tested: all their windows are quiet, or their species are too rare",
        result["recordings_not_tested"],
    )
    for level in LEVELS:
        log.info("%s: %s", level, result[level])
    score = result["by_recording"]["macro_f1"]
    if score:
        bounds = "interval unknown" if score["low"] is None else f"{score['low']:.3f}, {score['high']:.3f}"
        mode = result["ensemble"]["mode"] if result["ensemble"] else "none"
        seeds = "" if result["ensemble"] else f", mean of {counted(len(result['seeds']), 'seed')}"
        print_line(
            f"[pool] macro-F1 of {counted(result['recordings'], 'recording')}, each tested by {_TESTED_BY[mode]} that was not trained "
            "on it: "
            f"{score['value']:.3f} [{bounds}]{seeds}"
        )
    # Of a run that is not released, the command prints the scores of the single networks alone.
    command = "" if result["ensemble"] else f"; to print them: autobird scores {shlex.quote(str(file.parent.parent))}"
    print_line(f"[pool] all scores: {file}{command}")


if __name__ == "__main__":
    run(main)
