"""Compute the drift test of recent recordings, in a process of its own: the front need not load NumPy, and nobody waits for it."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from autobird.core.files import read_json
from autobird.drift.monitor import FEWEST, Reference, drift_test, read_references
from autobird.drift.names import DRIFT_FEATURES, TITLES

ALARM_RATE = 0.02
"""False-alarm rate of the audio and the model features together; the default of the workflow's drift test."""

_RESAMPLES = 300
_LARGEST_REFERENCE = 2000
"""Recordings of the reference that are used, in whole groups. With more, the threshold would hardly change and take longer: one test
with 2,000 takes about 1 s."""


def drift_of(features: list[list[float]], folder: Path, fingerprint: str) -> dict[str, Any]:
    """Test whether recordings differ from those that a model was made with.

    Args:
        features: drift features (`DRIFT_FEATURES`) of each recording.
        folder: folder of the bundle.
        fingerprint: of the bundle that classified the recordings.

    Returns:
        the answer of `/v1/drift`; `state` is `ok`, `drift`, `too few recordings` or `no reference`.
    """
    current = np.array(features, np.float64).reshape(-1, len(DRIFT_FEATURES))
    result: dict[str, Any] = {
        "state": "too few recordings",
        "bundle": fingerprint,
        "recordings": len(current),
        "needed": FEWEST,
        "alarm_rate": ALARM_RATE,
        "features": [],
    }
    try:
        # The folder may hold another bundle already, which the server could not load yet.
        is_served = read_json(folder / "bundle.json")["fingerprint"] == fingerprint
        references = read_references(folder / "drift_reference.json") if is_served else {}
    except (OSError, ValueError, KeyError):
        references = {}
    if not references:
        return result | {"state": "no reference", "summary": "the bundle has no drift reference that fits it"}
    if len(current) < FEWEST:
        return result | {
            "summary": f"{len(current)} of the {FEWEST} recordings that the drift test needs were classified by this bundle"
        }
    tested = []
    for reference in references.values():
        columns = [DRIFT_FEATURES.index(name) for name in reference.names]
        used = _part(reference)
        test = drift_test(used, current[:, columns], ALARM_RATE / len(references), _RESAMPLES, seed=0)
        scale = np.sqrt(len(used.values) * len(current) / (len(used.values) + len(current)))
        tested += [
            {
                "feature": name,
                "title": TITLES[name][0],
                "unit": TITLES[name][1],
                "drift": bool(round(float(scale * distance), 4) > test.threshold),
                "distance": distance,
                # Adjusted for the tests of both groups of features, so that it can be compared with the false-alarm rate of both together.
                "p_value": min(1.0, round(len(references) * test.p_values[name], 4)),
                "median": round(float(np.median(current[:, column])), 3),
                "reference_median": round(float(np.median(used.values[:, n])), 3),
            }
            for n, (column, (name, distance)) in enumerate(zip(columns, test.distances.items(), strict=True))
        ]
    drifting = [str(f["title"]) for f in tested if f["drift"]]
    summary = (
        f"the last {len(current)} recordings differ from those that the model was made with in: {', '.join(drifting)}"
        if drifting
        else f"the last {len(current)} recordings are similar to those that the model was made with"
    )
    return result | {"state": "drift" if drifting else "ok", "summary": summary, "features": tested}


def _part(reference: Reference) -> Reference:
    """Return a reference of at most `_LARGEST_REFERENCE` recordings, in whole groups chosen at random."""
    if len(reference.values) <= _LARGEST_REFERENCE:
        return reference
    groups, counts = np.unique(reference.groups, return_counts=True)
    order = np.random.default_rng(0).permutation(len(groups))
    kept = groups[order[np.cumsum(counts[order]) <= _LARGEST_REFERENCE]]
    chosen = np.isin(reference.groups, kept)
    return Reference(reference.names, reference.values[chosen], reference.groups[chosen]) if chosen.any() else reference


def main() -> None:
    """Read the features as JSON from standard input; the arguments are the folder and the fingerprint of the bundle."""
    print(json.dumps(drift_of(json.load(sys.stdin), Path(sys.argv[1]), sys.argv[2]), allow_nan=False))


if __name__ == "__main__":
    main()
