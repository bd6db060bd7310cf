"""Predictions of a finished run for its test recordings, from the test split or from a cross-validation."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json
from autobird.core.tables import read_table
from autobird.core.wording import counted, ensemble_text
from autobird.dataset.label_sets import LabelSets
from autobird.evaluation.evaluate import read_calibration
from autobird.evaluation.predictions import (
    LABEL_SET,
    Items,
    contains_others,
    predictions_of_split,
    recording_label_sets,
)

_NOT_COMPARED = {"seed", "seeds", "threads", "device", "devices", "nodes"}
"""Settings of the training in which a network of a cross-validation may differ from that of its run."""

_OF_SPLITS = ("splits", "negatives", "untestable", "splits_overridden")
"""What `counts.json` says about the splits, which are others in each fold."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class RunPredictions:
    """Predictions of a classifier for the recordings that it is tested on.

    Attributes:
        name: name of the classifier, for example that of its run.
        evaluated: what it is tested on, as text.
        labels: species that it knows.
        recordings: one row per recording; columns recording, group, sha256 (of the decoded sound; "" if unknown) and the label set
            (`recording_label_sets`).
        probabilities: probabilities of each seed, or of the only network; each of shape (recordings, labels).
        detected: detected species of each of them; shape (recordings, labels).
        made: date of the predictions, UTC; empty if it does not matter.
        is_independent: whether each species has a probability by itself (see `Calibration`).
        warning: why the predictions may not be those that the user means; empty if there is no reason.
    """

    name: str
    evaluated: str
    labels: list[str]
    recordings: pd.DataFrame
    probabilities: list[Floats]
    detected: list[Flags]
    made: str = ""
    warning: str = ""
    is_independent: bool = False

    def items(self, rows: NDArray[np.intp], labels: list[str]) -> list[Items]:
        """Return some of the recordings as items of other species, once per seed.

        Args:
            rows: the recordings, as indices.
            labels: the species; must contain those that this classifier knows. A species that it does not know has probability 0
                and is not detected.
        """
        columns = [labels.index(name) for name in self.labels]
        table = self.recordings.iloc[rows]
        sets = LabelSets.of(table, labels)
        others, recording = contains_others(table["present"], labels), np.arange(len(rows))
        items = []
        for probabilities, detected in zip(self.probabilities, self.detected, strict=True):
            all_probabilities, all_detected = np.zeros(sets.present.shape), np.zeros(sets.present.shape, bool)
            all_probabilities[:, columns], all_detected[:, columns] = probabilities[rows], detected[rows]
            items.append(
                Items(
                    all_probabilities,
                    all_detected,
                    sets.present,
                    sets.known,
                    others,
                    recording,
                    self.is_independent,
                )
            )
        return items


def has_crossval(run: Path) -> bool:
    """Return whether a run has the pooled predictions of a cross-validation."""
    return _has_pooled(crossval_folder(run))


def _has_pooled(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("crossval.json", "predictions.parquet"))


def crossval_folder(run: Path) -> Path:
    """Return the folder of the cross-validation of networks like the released one: of a run with an ensemble, that of its ensembles.

    A run that is not released does not tell what it would release: of it, the ensembles are taken if there are any.
    """
    ensembles, train = run / "crossval" / "ensemble", _configuration(run).get("train")
    return ensembles if _has_pooled(ensembles) and (train is None or ensemble_of(train)) else run / "crossval"


def ensemble_of(train: dict[str, Any]) -> dict[str, Any] | None:
    """Return the ensemble of a run as in `crossval.json`: mode and seeds; None for a single network.

    Args:
        train: section `train` of the provenance of the run (`Config.provenance`).
    """
    mode = train.get("ensemble", "none")
    return None if mode == "none" else {"mode": mode, "seeds": sorted(train["seeds"])}


def has_test_split(run: Path) -> bool:
    """Return whether a run has the predictions of a released model for its test split."""
    return all((run / "release" / name).is_file() for name in ("predictions.parquet", "calibration.json"))


def read_crossval(run: Path) -> RunPredictions:
    """Read the pooled predictions of a cross-validation from the folder of its run (`crossval_folder`)."""
    folder, train = crossval_folder(run), _configuration(run).get("train")
    result = read_json(folder / "crossval.json")
    table = read_table(folder / "predictions.parquet")
    by_seed = [rows for _, rows in table.groupby("seed", sort=True)]
    recordings = by_seed[0][["recording", "group", "sha256", *LABEL_SET]].reset_index(drop=True)
    ensemble = result.get("ensemble")
    networks = ensemble_text(ensemble) if ensemble else counted(len(by_seed), "seed")
    if train is not None and ensemble != ensemble_of(train):
        warning = (
            f"the main run of {run.name} has another train.ensemble or other train.seeds than its cross-validation; run `snakemake "
            "crossval` again to compare these"
        )
    else:
        warning = other_settings(run, int(by_seed[0]["fold"].iloc[0]), int(by_seed[0]["seed"].iloc[0]))
    return RunPredictions(
        run.name,
        f"cross-validation of {counted(result['folds'], 'fold')} with {networks}",
        result["labels"],
        recordings.assign(**{name: recordings[name].map(tuple) for name in LABEL_SET[:3]}),
        [np.stack(rows["probabilities"].to_list()) for rows in by_seed],
        [np.stack(rows["detected"].to_list()) for rows in by_seed],
        _date(folder / "predictions.parquet"),
        warning,
    )


def read_test_split(run: Path) -> RunPredictions:
    """Read the predictions of the released variant for the test split from the folder of a run, or of a member of one.

    Raises:
        AutobirdError: the run is not finished.
    """
    for name in ("release/predictions.parquet", "release/calibration.json"):
        if not (run / name).is_file():
            raise AutobirdError(
                f"{run / name} does not exist; finish the run with snakemake, or give another folder below results/"
            )
    # The thresholds are in the order of the logits (`Calibration.from_json`). A member can use the dataset of another one, so its own
    # folder may hold no labels.json.
    labels = list(read_json(run / "release" / "calibration.json")["thresholds"])
    variant, calibration = read_calibration(run / "release" / "calibration.json")
    table = read_table(run / "release" / "predictions.parquet")
    split = predictions_of_split(table, labels, "test", calibration)
    recordings = recording_label_sets(table[table["split"] == "test"])
    recordings["sha256"] = recordings["recording"].map(_sound_checksums(run)).fillna("")
    return RunPredictions(
        run.name,
        f"test split, variant {variant}",
        labels,
        recordings,
        [split.recordings.probabilities],
        [split.recordings.detected],
        _date(run / "release" / "predictions.parquet"),
        is_independent=calibration.is_independent,
    )


def _date(file: Path) -> str:
    """Return when a file was written, to the minute, UTC."""
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")


def other_settings(run: Path, fold: int, seed: int) -> str:
    """Return a warning if the networks of a cross-validation were trained otherwise, or on other recordings, than that of the run, or "".

    `autobird compare` prefers the cross-validation, which stays as it is when only the main run is computed again: after a change of
    settings, or with more recordings.

    Args:
        run: folder of the run.
        fold: of one of the networks.
        seed: of the same.
    """
    member = run / "members" / f"fold{fold}.seed{seed}"
    different = _differences(_settings, run / "model" / "model.json", member / "model" / "model.json")
    different += _differences(
        _detection_settings, run / "release" / "calibration.json", member / "release" / "calibration.json"
    )
    if different:
        return (
            f"the cross-validation of {run.name} was made with other settings than its main run ({', '.join(different)}); run "
            "`snakemake crossval` again with the settings of the main run to compare these"
        )
    counts = run / "dataset" / "counts.json", run / "members" / f"fold{fold}" / "dataset" / "counts.json"
    if different := _differences(_counts, *counts):
        return (
            f"the cross-validation of {run.name} was made of other recordings than its main run (counts.json: {', '.join(different)}); "
            "run `snakemake crossval` again to compare the same recordings"
        )
    return ""


def _differences(read: Callable[[dict[str, Any]], dict[str, Any]], main: Path, member: Path) -> list[str]:
    """Return the names of what differs between two JSON files; none if one of them is not there.

    What only one of them has is new in its version of Autobird, and off by default.
    """
    if not (main.is_file() and member.is_file()):
        return []
    a, b = read(read_json(main)), read(read_json(member))
    return sorted(name for name in {*a} & {*b} - _NOT_COMPARED if a[name] != b[name])


def _detection_settings(calibration: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a `calibration.json` records."""
    wanted = calibration.get("false_alarms", {})
    found = {"false_alarms_per_hour": wanted["wanted_per_hour"]} if "wanted_per_hour" in wanted else {}
    return found | {
        name: calibration[name] for name in ("precision", "aggregation", "smoothing") if name in calibration
    }


def _counts(counts: dict[str, Any]) -> dict[str, Any]:
    """Return what a `counts.json` says about the recordings, whatever their splits."""
    return {name: value for name, value in counts.items() if name not in _OF_SPLITS}


def _settings(model: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a `model.json` records."""
    backbone = model.get("backbone") or model.get("teacher") or {}
    # Networks of older versions did not centre the bands; those of another architecture never do.
    train = {"centre_bands": False} | model["train"]
    if train.get("architecture") != "resnet":
        del train["centre_bands"]
    return {"features": model["features"], "backbone": backbone.get("sha256"), **train}


def _sound_checksums(run: Path) -> dict[str, str]:
    """Return the sha256 of the decoded sound of each recording of a run; empty if the catalogue of its corpus is not there."""
    if run.parent.name == "members":  # only the run itself has a bundle
        run = run.parent.parent
    configuration = _configuration(run)
    if not configuration:
        return {}
    catalogue = run.parent / "features" / configuration["features"]["name"] / "corpus" / "catalogue.parquet"
    if not catalogue.is_file():
        return {}
    table = read_table(catalogue, ["recording", "sound_sha256"])
    return dict(zip(table["recording"], table["sound_sha256"], strict=True))


def _configuration(run: Path) -> dict[str, Any]:
    """Return the settings of a run from the provenance of its bundle; empty if it has none."""
    provenance = run / "release" / "bundle" / "provenance.json"
    found: dict[str, Any] = read_json(provenance)["config"] if provenance.is_file() else {}
    return found
