"""Paired comparison of two classifiers on the recordings that both are tested on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from autobird.core.errors import AutobirdError
from autobird.core.wording import counted
from autobird.evaluation.bootstrap import difference_interval, ratio_interval, resample_groups
from autobird.evaluation.interval_json import interval_json, metric_interval
from autobird.evaluation.metrics import Weighting, all_metrics
from autobird.evaluation.pooling import mean_over_seeds
from autobird.evaluation.run_predictions import RunPredictions
from autobird.evaluation.settings import IntervalSettings

Indices = NDArray[np.intp]

COMPARED = ("macro_f1", "cmap", "top1", "detection_macro_f1")
"""Metrics per recording that are compared."""


def compare(a: RunPredictions, b: RunPredictions, settings: IntervalSettings) -> dict[str, Any]:
    """Compare two classifiers on their common test recordings; both are evaluated under the same resamples of the groups.

    With several seeds, the mean of a metric over the seeds is compared. A group is a connected component of the groups of both:
    recordings that are in one group for a or for b are in one group. The species are those that a or b knows. One that only
    one of them knows has probability 0 for the other and is never detected; a mean over the species contains it if a common
    recording does.

    Args:
        a: the reference.
        b: the classifier that is compared with it.
        settings: bootstrap and confidence level.

    Returns:
        `a` and `b` (name, what it is tested on, date and warning if there are any, numbers of test recordings and seeds, species
        that only it knows), numbers of common `recordings` and `groups`, how the recordings are matched (`matched_by`), numbers of
        recordings that are `left_out`;
        for each of `COMPARED` the intervals of a, b, and b minus a (`metrics`); and the interval of the `error_ratio`: the error
        (1 - macro-F1) of b divided by that of a.

    Raises:
        AutobirdError: they have no common test recordings.
    """
    rows_a, rows_b, matched_by, left_out = common_recordings(a.recordings, b.recordings)
    if not len(rows_a):
        raise AutobirdError(_nothing_in_common(a, b, matched_by, left_out))
    labels = sorted({*a.labels, *b.labels})
    items_a, items_b = a.items(rows_a, labels), b.items(rows_b, labels)
    # A species counts in a recording if both runs know whether it is present.
    known = items_a[0].known & items_b[0].known
    items_a, items_b = ([replace(seed, known=known) for seed in items] for items in (items_a, items_b))
    group = joint_groups(a.recordings["group"].iloc[rows_a], b.recordings["group"].iloc[rows_b])
    resamples = resample_groups(group, items_a[0].present, settings.resamples, settings.seed)
    weighting = Weighting.of(resamples, items_a[0])
    by_seed_a, by_seed_b = ([all_metrics(seed, weighting) for seed in items] for items in (items_a, items_b))
    metrics: dict[str, Any] = {}
    for name in COMPARED:
        of_a, of_b = (mean_over_seeds([seed[name] for seed in seeds]) for seeds in (by_seed_a, by_seed_b))
        metrics[name] = {
            "a": metric_interval(name, of_a, resamples, settings.confidence),
            "b": metric_interval(name, of_b, resamples, settings.confidence),
            "difference": interval_json(difference_interval(of_b.values - of_a.values, resamples, settings.confidence)),
        }
        if name == "macro_f1":
            ratio = ratio_interval(1 - of_b.values, 1 - of_a.values, resamples, settings.confidence)
    return {
        "a": _description(a, b),
        "b": _description(b, a),
        "recordings": len(rows_a),
        "recordings_of_one_species": int((items_a[0].only_species >= 0).sum()),
        "groups": resamples.groups,
        "matched_by": matched_by,
        "left_out": left_out,
        "confidence": settings.confidence,
        "resamples": settings.resamples,
        "metrics": metrics,
        "error_ratio": interval_json(ratio),
    }


def _nothing_in_common(a: RunPredictions, b: RunPredictions, matched_by: str, left_out: dict[str, int]) -> str:
    """Return why two runs cannot be compared, and the remedy."""
    if left_out["other_sound"]:
        return (
            f"{a.name} and {b.name} have {counted(left_out['other_sound'], 'test recording')} of the same name, but with different sound; "
            "use the same recordings for both"
        )
    if other_species := left_out["other_species"]:
        return (
            f"{a.name} and {b.name} name the species of all {counted(other_species, 'common test recording')} differently; use "
            f"the same labels "
            "for both: the same names of folders, or the same metadata"
        )
    return (
        f"{a.name} and {b.name} have no common test recordings ({len(a.recordings)} and "
        f"{counted(len(b.recordings), 'recording')}, compared by "
        f"{matched_by}); use the same recordings, dataset.seed and shares for both, or run `snakemake crossval` for both"
    )


def _description(run: RunPredictions, other: RunPredictions) -> dict[str, Any]:
    return {
        "name": run.name,
        "evaluated": run.evaluated,
        **({"made": run.made} if run.made else {}),
        **({"warning": run.warning} if run.warning else {}),
        "test_recordings": len(run.recordings),
        "seeds": len(run.probabilities),
        "species": len(run.labels),
        "only_here": sorted({*run.labels} - {*other.labels}),
    }


def common_recordings(a: pd.DataFrame, b: pd.DataFrame) -> tuple[Indices, Indices, str, dict[str, int]]:
    """Find the recordings that two tables have in common.

    They are matched by the checksum of the decoded sound if both tables have a different one for each recording, otherwise by
    the name of the recording. Recordings of one name whose checksums are known and differ are not the same.

    Args:
        a: columns recording, sha256, present.
        b: the same columns.

    Returns:
        Rows of the common recordings in a, sorted; the corresponding rows in b; how they are matched: `sha256` or `recording`; and
        the numbers of recordings that are left out: those that only one of them tests, those of one name with different sound, and those
        whose species differ.
    """
    by_checksum = all((table["sha256"] != "").all() and table["sha256"].is_unique for table in (a, b))
    matched_by = "sha256" if by_checksum else "recording"
    found = pd.Index(b[matched_by]).get_indexer(pd.Index(a[matched_by]))
    rows_a = np.flatnonzero(found >= 0)
    rows_b = found[rows_a]
    species = [a["present"].iloc[i] == b["present"].iloc[j] for i, j in zip(rows_a, rows_b, strict=True)]
    sounds = [table["sha256"].to_numpy(object)[rows] for table, rows in ((a, rows_a), (b, rows_b))]
    other_sound = (sounds[0] != sounds[1]) & (sounds[0] != "") & (sounds[1] != "")
    other_species = ~np.array(species, bool) & ~other_sound
    same = ~other_sound & ~other_species
    left_out = {
        "only_in_a": len(a) - len(rows_a),
        "only_in_b": len(b) - len(rows_b),
        "other_sound": int(other_sound.sum()),
        "other_species": int(other_species.sum()),
    }
    return rows_a[same], rows_b[same], matched_by, left_out


def joint_groups(a: "pd.Series[str]", b: "pd.Series[str]") -> NDArray[np.int64]:
    """Return the group of each recording if recordings that are in one group of a or of b must be in one group.

    Args:
        a: group of each recording, shape (recordings,).
        b: group of the same recordings for the other classifier.
    """
    group_a, names_a = pd.factorize(a)
    group_b, names_b = pd.factorize(b)
    size = len(names_a) + len(names_b)
    edges = coo_array((np.ones(len(group_a), bool), (group_a, len(names_a) + group_b)), shape=(size, size))
    component = connected_components(edges, directed=False)[1]
    return np.asarray(component[group_a], np.int64)
