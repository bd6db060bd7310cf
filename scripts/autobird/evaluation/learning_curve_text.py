"""What a learning curve says, in words."""

from typing import Any

from autobird.evaluation.interval_text import interval_text

GAINS, SATURATED, UNCLEAR = "gains", "no more gain", "not enough to tell"
"""Whether more recordings of a species would raise its F1: the interval of the gain is above 0; it is below a gain that is worth the
effort; neither."""


def ranked(species: dict[str, Any], conclusion: str) -> list[str]:
    """Return the species with a conclusion, the largest gain first."""
    found = [name for name, entry in species.items() if entry["conclusion"] == conclusion]
    return sorted(found, key=lambda name: -(species[name]["gain_of_doubling"] or {"value": -2.0})["value"])


def summary(result: dict[str, Any]) -> str:
    """Return what the curve says, for the card and the report.

    Args:
        result: content of `learning_curve.json`.
    """
    first, last = result["curve"][0], result["curve"][-1]
    text = (
        f"Learning curve: with {first['recordings']:g} training recordings a species, the macro-F1 on the test recordings is "
        f"{interval_text(first['macro_f1'])}; with all of them ({last['recordings']:g} a species on average), "
        f"it is {interval_text(last['macro_f1'])}. "
    )
    gain = result["gain_of_doubling"]
    doubling = "At the end of the curve, twice as many recordings of every species"
    if result["conclusion"] == GAINS:
        text += f"{doubling} raise it by {interval_text(gain, sign=True, decimals=2)}: more recordings help. "
    elif result["conclusion"] == SATURATED:
        text += f"{doubling} change it by {interval_text(gain, sign=True, decimals=2)}: more of them hardly help. "
    elif gain:
        text += f"{doubling} change it by {interval_text(gain, sign=True, decimals=2)}: not enough to tell. "
    species = result["species"]
    if names := result["would_gain_most"]:
        listed = "; ".join(
            f"{name} ({interval_text(species[name]['gain_of_doubling'], sign=True, decimals=2)}, "
            f"now {species[name]['train_recordings']:g} recordings)"
            for name in names
        )
        text += (
            f"Species whose F1 gains from twice as many recordings of every species, the largest gain first: {listed}. "
        )
    unclear = ranked(species, UNCLEAR)
    if unclear:
        which = "any species" if len(unclear) == len(species) else ", ".join(sorted(unclear))
        text += f"The test recordings are not enough to tell for {which}"
        first = unclear[0]
        estimate = species[first]["gain_of_doubling"]
        if estimate:
            text += f"; the largest estimate is that of {first} ({interval_text(estimate, sign=True, decimals=2)})"
        text += "."
    return text.strip()
