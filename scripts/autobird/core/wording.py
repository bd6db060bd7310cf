"""Wording of messages that depends on numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 file`, `2 files`.

    Args:
        count: the number.
        noun: in the singular, with what depends on it: `recording does not contain it`.
        plural: the same in the plural; "": the noun with an s.
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Sequence[str]) -> str:
    """Return names as text: `a`, `a and b`, `a, b and c`; empty without names."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def shortened(text: str, longest: int) -> str:
    """Return a text of at most so many characters; of a longer one, the middle is left out: names often differ at their end."""
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2
    return f"{text[: longest - 1 - end]}…{text[len(text) - end :]}"


def ensemble_text(ensemble: Mapping[str, Any]) -> str:
    """Return what the folds of a cross-validation tested, for example `ensembles of 3 networks`; `ensemble`: as in `crossval.json`."""
    ensembles = f"ensembles of {counted(len(ensemble['seeds']), 'network')}"
    return f"networks taught by {ensembles}" if ensemble["mode"] == "distill" else ensembles


def left_out_sentence(reasons: Mapping[str, str], most: int = 8) -> str:
    """Return a sentence about the species that are not trained, without a full stop.

    Args:
        reasons: why, by species (`left_out` of `counts.json`); at least one.
        most: number of species that are named.
    """
    named = "; ".join(f"{species} ({reason})" for species, reason in list(reasons.items())[:most])
    others = f"; and {counted(len(reasons) - most, 'other')}, see counts.json" if len(reasons) > most else ""
    return f"{counted(len(reasons), 'species is', 'species are')} not trained: {named}{others}"


def joined_notes(notes: Iterable[str]) -> str:
    """Return the notes on one recording as one text, from which `separate_notes` gets them back; empty ones are left out.

    Args:
        notes: single notes, which hold no semicolon, or texts that this function returned.
    """
    return "; ".join(note for note in notes if note)


def separate_notes(text: str) -> list[str]:
    """Return the single notes of a text of `joined_notes`."""
    return [note for note in text.split("; ") if note]
