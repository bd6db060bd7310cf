"""The first section of the model card: what a user needs to know before reading on."""

from typing import Any

import pandas as pd

from autobird.core.wording import counted
from autobird.evaluation.false_alarms_text import rate_text

_FEW_GROUPS = 5
"""Species that fewer independent groups of test recordings contain are listed as hardly tested."""

_LISTED = 3
"""Largest number of species that are listed as the weakest."""

_MOST_NAMES = 12
"""Largest number of names in a list; of more species, their number is given."""


def at_a_glance(
    species: pd.DataFrame, test: dict[str, Any], statement: str, window: float | None, backbone: str | None
) -> list[str]:
    """Return the lines of the section.

    Args:
        species: `species.csv` of stage `evaluate`.
        test: the test split in `metrics.json`.
        statement: terms that follow from all licences.
        window: length of a window, seconds; None if unknown.
        backbone: name of the pretrained network that the model needs; None if it needs none.
    """
    scores = test["by_recording"]
    recall, precision = (_percent(scores[f"detection_{name}"]) for name in ("recall", "precision"))
    rate = test["negatives"]["per_hour"]
    length = f" of {window:g} s" if window else ""
    needs = f" It needs the pretrained network {backbone}, which the bundle does not contain." if backbone else ""
    which = f"which of {len(species)} species are" if len(species) > 1 else "whether its species is"
    lines = [
        f"- What it does: for each window{length} of a recording, it says {which} heard in it, and with which probability.{needs}",
        f"- How good: in test recordings, it detects {recall} of the species that are present, and {precision} of its detections are "
        "right (in brackets the range of uncertainty).",
        f"- False alarms in sound without any of its species: {_alarms(rate)}.",
        *_weakest(species),
        *_hardly_tested(species),
        f"- Terms of use: {statement}",
        "- Before you rely on it at another place or with other recorders, check a sample of its detections on your own recordings "
        "(`autobird review`), or measure it on annotated ones (`evaluation.field`).",
    ]
    return ["## At a glance", "", *lines, ""]


def _percent(value: dict[str, float | None] | None) -> str:
    """Return a share with its interval in percent."""
    if value is None or value["value"] is None:
        return "an unknown share"
    low, high = value["low"], value["high"]
    bounds = "range unknown" if low is None or high is None else f"{100 * low:.0f} to {100 * high:.0f}"
    return f"{100 * value['value']:.0f} % [{bounds}]"


def _alarms(rate: dict[str, float | None] | None) -> str:
    if rate is None:
        return "not measured"
    return f"{rate_text(rate)} per hour, all species together, at the thresholds of this bundle"


def _weakest(species: pd.DataFrame) -> list[str]:
    """Name the species with the lowest F1 of their detections, of those with enough test groups."""
    tested = species[species["test_groups"] >= _FEW_GROUPS].dropna(subset=["detection_f1_by_recording"])
    if len(tested) < 2:
        return []
    weakest = tested.sort_values(["detection_f1_by_recording", "species"]).head(min(_LISTED, len(tested) - 1))
    names = ", ".join(
        f"*{row['species']}* ({row['detection_f1_by_recording']:.2f})" for row in weakest.to_dict("records")
    )
    return [
        f"- Weakest species (F1 of the detections per recording): {names}; all species are in the table at the end."
    ]


def _hardly_tested(species: pd.DataFrame) -> list[str]:
    """Name the species that so few test groups contain that their scores say little."""
    few = species[species["test_groups"] < _FEW_GROUPS]["species"].tolist()
    if not few:
        return []
    names = (
        ", ".join(f"*{name}*" for name in few) if len(few) <= _MOST_NAMES else counted(len(few), "species", "species")
    )
    return [f"- Hardly tested (fewer than {_FEW_GROUPS} independent test sessions, so the scores say little): {names}."]
