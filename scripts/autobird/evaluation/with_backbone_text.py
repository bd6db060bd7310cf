"""The comparison of a model with a backbone as it is, in words: for the card, and for `autobird compare RUN --with birdnet`."""

from pathlib import Path
from typing import Any

from autobird.backbone.known import BIRDNET
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json
from autobird.core.wording import counted
from autobird.evaluation.interval_text import interval_text

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


_DETECTIONS = {"detection_precision": "precision", "detection_recall": "recall", "detection_macro_f1": "macro-F1"}


def answer(result: dict[str, Any]) -> str:
    """Return the sentences that answer: should I use this model, or the backbone as it is?

    The first is about the most probable species (macro-F1); the second about the detections, if one of the two is better in them.

    Args:
        result: content of `with_backbone.json`.
    """
    name, scope = _shown(result["backbone"]), result["scopes"]["all"]
    if scope is None:
        return f"{name} knows none of the species of this run, so it cannot take the place of this model."
    if (unheard := result["scopes"]["unheard"]) is not None:
        scope, which = unheard, f"the {unheard['recordings']} test recordings that it did not hear in its training"
    else:
        which = f"the {counted(scope['recordings'], 'test recording')}"
    detections = _detections(scope["metrics"])
    values = scope["metrics"]["macro_f1"]
    difference = values["difference"]
    if difference is None or values["model"] is None or values["backbone"] is None:
        only_one = len(result["species"]) + len(result["unknown_species"]) == 1
        why = (
            "a single species is always the most probable one"
            if only_one
            else "no test recording contains exactly one species"
        )
        return f"This model and {name} unchanged cannot be compared by their most probable species, because {why}.{detections}"
    scores = (
        f"macro-F1 on {which} is {interval_text(values['model'])} with this model and "
        f"{interval_text(values['backbone'])} with {name} unchanged (difference {interval_text(difference, sign=True)})"
    )
    if difference["low"] is not None and difference["low"] > 0:
        known = scope is result["scopes"]["all"] and result["scopes"]["known_species"]
        of_known = known["metrics"]["macro_f1"]["difference"] if known else None
        if not of_known or (of_known["low"] is not None and of_known["low"] > 0):
            return f"Use this model rather than {name} unchanged: {scores}.{detections}"
        return (
            f"Use this model rather than {name} unchanged, because {name} does not know {', '.join(result['unknown_species'])}: {scores}; "
            f"on the species that both know, it is not clearly better (difference {interval_text(of_known, sign=True)})."
            f"{detections}"
        )
    if difference["high"] is not None and difference["high"] < 0:
        text = f"Use {name} unchanged rather than this model, as far as these recordings tell: {scores}"
        if scope is result["scopes"]["all"] and result["possibly_heard"]:
            text += f", but it may have been trained on {result['possibly_heard']} of them"
    else:
        which_is = "which names the most probable species better" if detections else "which is better"
        text = f"These recordings are too few to tell {which_is}: this model, or {name} unchanged; {scores}"
    return f"{text}.{detections}"


def source(result: dict[str, Any]) -> str:
    """Return which predictions were compared: those of the test split, or those of the folds of a cross-validation.

    Args:
        result: content of `with_backbone.json`.
    """
    recordings = f"{result['recordings']} recording{'' if result['recordings'] == 1 else 's'}"
    return (
        f"pooled over {counted(result['folds'], 'fold')}, {recordings}"
        if result["folds"] > 1
        else f"test split, {recordings}"
    )


def _shown(backbone: str) -> str:
    """Return the name of a backbone as its authors write it."""
    return "BirdNET 2.4" if backbone == BIRDNET else backbone


def _detections(metrics: dict[str, Any]) -> str:
    """Return a sentence, after a space, about the metrics of the detections whose paired intervals exclude 0; "" for none."""
    lower, higher = [], []
    for key, label in _DETECTIONS.items():
        d = metrics[key]["difference"]
        if d is None or d["low"] is None:
            continue
        if d["high"] < 0:
            lower.append(f"{label} lower by {-d['value']:.3f} [{-d['high']:.3f}, {-d['low']:.3f}]")
        elif d["low"] > 0:
            higher.append(f"{label} higher by {d['value']:.3f} [{d['low']:.3f}, {d['high']:.3f}]")
    if not lower and not higher:
        return ""
    verdict = "differ" if lower and higher else "are worse" if lower else "are better"
    return f" The detections of this model {verdict}: {'; '.join(lower + higher)}."


def summary(result: dict[str, Any]) -> str:
    """Return the answer and what limits it, for the card and the report.

    Args:
        result: content of `with_backbone.json`.
    """
    name, scopes = _shown(result["backbone"]), result["scopes"]
    lines = [answer(result)]
    if scopes["all"] is None:
        return lines[0]
    heard = result["possibly_heard"]
    if scopes["unheard"] is None:
        if heard:
            total = scopes["all"]["recordings"]
            lines.append(
                f"{name} may have been trained on {heard} of these {counted(total, 'recording')}, which favours it; the others "
                f"are too few to tell "
                f"({result['unheard']} unheard, fewer than {result['min_recordings']})."
            )
        elif result["unknown"]:
            lines.append(f"Whether {name} was trained on recordings among these is not known.")
    if result["unknown_species"]:
        if "because" not in lines[0]:
            lines.append(
                f"{name} does not know {', '.join(result['unknown_species'])}: for these, this model is needed."
            )
        if scopes["known_species"]:
            values = scopes["known_species"]["metrics"]["macro_f1"]
            lines.append(
                f"On the species that both know, macro-F1 is {interval_text(values['model'])} and {interval_text(values['backbone'])} "
                f"(difference {interval_text(values['difference'], sign=True)})."
            )
    detections = scopes["all"]["metrics"]
    lines.append(
        f"Detections (this model with its thresholds, {name} from a confidence of {result['threshold']:g}, its usual threshold): precision "
        f"{interval_text(detections['detection_precision']['model'])} and "
        f"{interval_text(detections['detection_precision']['backbone'])}, recall "
        f"{interval_text(detections['detection_recall']['model'])} and {interval_text(detections['detection_recall']['backbone'])}."
    )
    if not result["exact"]:
        lines.append(
            f"The windows of this run are longer than those of {name}, so its answers are those for the mean of the embeddings in a window."
        )
    return " ".join(lines)


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
            f"{file} does not exist; make it with the configuration of the run: snakemake with_backbone --configfile FILE"
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
    if result["scopes"]["all"] is None:
        return lines[0]
    lines.append(f"source: {source(result)}")
    for scope, text in _SCOPES.items():
        content = result["scopes"][scope]
        if content is None:
            continue
        lines.append(f"{text}: {content['recordings']} in {counted(content['groups'], 'independent group')}")
        lines.append(f"  {'per recording':28}{name[:22]:>24}{backbone:>24}{'difference':>26}")
        for key, values in content["metrics"].items():
            model, other = (interval_text(values[key]) for key in ("model", "backbone"))
            cells = f"{model:>24}{other:>24}{interval_text(values['difference'], True):>26}"
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
