"""The command `autobird compare RUN --with birdnet`: print what the stage `with_backbone` computed."""

import math
from pathlib import Path
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json

_NAMES = {
    "macro_f1": "macro-F1",
    "top1": "top-1",
    "cmap": "cmAP",
    "detection_macro_f1": "macro-F1 of the detections",
    "detection_precision": "precision of the detections",
    "detection_recall": "recall of the detections",
}

_SCOPES = {
    "all": "all test recordings",
    "known_species": "recordings of species that both know",
    "unheard": "recordings that the backbone was not trained on",
}


def read_with_backbone(run: Path, backbone: str) -> dict[str, Any]:
    """Return the comparison of a run with a backbone as it is (`with_backbone.json`): of its cross-validation, if it has one.

    Args:
        run: folder of the run.
        backbone: name of the backbone, or the first part of it, for example `birdnet`.

    Raises:
        AutobirdError: the run has no such comparison.
    """
    pooled = run / "crossval" / "with_backbone.json"
    file = pooled if pooled.is_file() else run / "evaluation" / "with_backbone.json"
    if not file.is_file():
        raise AutobirdError(
            f"{file} does not exist; make it with the configuration of the run: snakemake --configfile FILE with_backbone"
        )
    result: dict[str, Any] = read_json(file)
    if not str(result["backbone"]).startswith(backbone.lower()):
        raise AutobirdError(
            f"{file} is a comparison with {result['backbone']}, not with {backbone}; give --with {result['backbone']}"
        )
    return result


def format_with_backbone(name: str, result: dict[str, Any]) -> str:
    """Return the comparison as a table for the terminal.

    Args:
        name: name of the run.
        result: content of `with_backbone.json`.
    """
    backbone = result["backbone"]
    lines = [result["answer"]]
    for scope, text in _SCOPES.items():
        content = result["scopes"][scope]
        if content is None:
            continue
        lines.append(f"{text}: {content['recordings']} in {content['groups']} independent groups")
        lines.append(f"  {'per recording':28}{name[:22]:>24}{backbone:>24}{'difference':>26}")
        for key, values in content["metrics"].items():
            cells = (
                f"{_cell(values['model']):>24}{_cell(values['backbone']):>24}{_cell(values['difference'], True):>26}"
            )
            lines.append(f"  {_NAMES[key]:28}{cells}")
    heard = (
        f"{backbone} may have been trained on {result['possibly_heard']} of the test recordings; {result['unheard']} it did not hear, of "
        f"{result['unknown']} it is not known"
    )
    if result["scopes"]["unheard"] is None:
        heard += (
            f" (score without those it may have heard: too few to tell, fewer than {result['min_recordings']} unheard)"
        )
    lines.append(heard)
    if result["unknown_species"]:
        lines.append(f"species that {backbone} does not know: {', '.join(result['unknown_species'])}")
    lines.append(
        f"([...]: {result['confidence']:.0%} confidence intervals; the difference is paired; detections of {backbone} from a confidence of "
        f"{result['threshold']:g}; most probable species: of those of the run)"
    )
    return "\n".join(lines)


def _cell(value: dict[str, float | None] | None, sign: bool = False) -> str:
    number = math.nan if value is None or value["value"] is None else value["value"]
    if value is None or math.isnan(number):
        return "not defined"
    form = "+.3f" if sign else ".3f"
    low, high = value["low"], value["high"]
    bounds = "interval unknown" if low is None or high is None else f"{low:{form}}, {high:{form}}"
    return f"{number:{form}} [{bounds}]"
