"""Sentences about the scores of strata, for the model card and the log."""

from typing import Any

from autobird.core.wording import counted, listed
from autobird.evaluation.interval_text import interval_text
from autobird.evaluation.strata import UNKNOWN


def summary(result: dict[str, Any]) -> str:
    """Return what `weaknesses.json` shows, as Markdown: which differences are certain, and what is unknown.

    Args:
        result: content of the file, without `summary`.
    """
    known = [factor for factor in result["factors"] if factor["known"]]
    names = listed([factor["text"] for factor in known])
    if not known:
        return "Level, distance, recorder, place and time of the test recordings are not known."
    if not result["comparisons"]:
        lines = [
            f"Too few independent test recordings to compare their scores by {names}: each class needs at least "
            f"{result['min_groups']} groups."
        ]
    else:
        lines = [
            "Recall of the detections (share of the present species that are detected), compared within the same species, "
            f"by {names}. A difference is called certain if it remains so after correction for "
            f"{counted(result['comparisons'], 'comparison')} (Holm's method, {result['confidence']:.0%}).",
            "",
        ]
        certain = [
            f"- {factor['text']} {stratum['stratum']}: recall {interval_text(stratum['recall'], decimals=2)}, certainly "
            f"{'lower' if stratum['difference']['value'] < 0 else 'higher'} than otherwise "
            f"({interval_text(stratum['difference'], sign=True, decimals=2)}; {counted(stratum['items'], factor['level'])} in "
            f"{counted(stratum['groups'], 'group')})"
            for factor in known
            for stratum in factor["strata"]
            if stratum["certain"]
        ]
        lines += certain or ["- No difference is certain. That does not show that there is none."]
        lines += [_lowest(known)] if not certain else ["- All other differences may be chance."]
    lines += _unknown(result)
    return "\n".join(lines)


def _lowest(known: list[dict[str, Any]]) -> str:
    """Name the stratum with the lowest recall compared with the others, as something to watch."""
    compared = [(stratum, factor) for factor in known for stratum in factor["strata"] if stratum["difference"]]
    stratum, factor = min(compared, key=lambda pair: pair[0]["difference"]["value"])
    if stratum["difference"]["value"] >= 0:
        return "- No class that is compared has a lower recall than the others."
    return (
        f"- The largest loss, which may be chance: {factor['text']} {stratum['stratum']}, recall "
        f"{interval_text(stratum['recall'], decimals=2)} ({interval_text(stratum['difference'], sign=True, decimals=2)} than otherwise)."
    )


def _unknown(result: dict[str, Any]) -> list[str]:
    """Say of which properties nothing is known, and of which some values are missing."""
    never = [factor["text"] for factor in result["factors"] if not factor["known"]]
    partly = [
        f"{factor['text']} ({counted(factor['unknown_items'], factor['level'])})"
        for factor in result["factors"]
        if factor["known"] and factor["unknown_items"]
    ]
    few = sum(
        stratum["too_few"]
        for factor in result["factors"]
        for stratum in factor["strata"]
        if stratum["stratum"] != UNKNOWN
    )
    lines = [f"- Not known of any test recording: {listed(never)}."] if never else []
    lines += [f"- Not known of some: {listed(partly)}."] if partly else []
    if few:
        lines.append(
            f"- Too few recordings to tell (fewer than {result['min_groups']} independent groups with a species) in "
            f"{counted(few, 'class', 'classes')}; the table of the run lists them."
        )
    return lines
