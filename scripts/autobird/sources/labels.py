"""Spellings of one label that differ in case, spaces, underscores, hyphens or Unicode form are one species."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

_SEPARATORS = re.compile(r"[\s_\-\u00ad\u2010-\u2015\u2212\ufe58\ufe63\uff0d]+")
"""Spaces of all kinds, underscores, hyphens and dashes."""

_MAX_LISTED = 10
"""Maximum number of species whose spellings one note lists."""


def plain_label(text: str) -> str:
    """Return a label as it is stored: in Unicode form NFC, with spaces instead of underscores, and none around it."""
    return unicodedata.normalize("NFC", text).replace("_", " ").strip()


@lru_cache(1 << 16)
def label_key(label: str) -> str:
    """Return a text that is the same for all spellings of a label.

    Case, spaces (also non-breaking, doubled, leading and trailing ones), underscores and Unicode form are ignored. A hyphen
    counts as a space, because names of files and of databases replace spaces by hyphens (`parus-major`, `Black headed gull`),
    and no two species differ in it alone. `Blackheaded` stays another label than `Black-headed`.
    """
    if label.isascii():  # the same result faster, for the 13,000 names of BirdNET
        return " ".join(label.lower().replace("_", " ").replace("-", " ").split())
    text = unicodedata.normalize("NFKC", label).casefold()
    # Invisible characters, such as a byte order mark or a zero-width space, are part of names that were copied from web pages.
    text = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf" or c == "\u00ad")
    return _SEPARATORS.sub(" ", text).strip()


class Spellings:
    """Counts the spellings of labels; holds one entry per spelling, however many recordings there are."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, label: str) -> None:
        """Count an occurrence of a label."""
        self._counts[label] += 1

    def replacements(self) -> dict[str, str]:
        """Return the label to use for each spelling that is not the most frequent one of its label, the first of equal ones."""
        return {
            spelling: variants[0] for variants in self._variants() for spelling in variants[1:]
        }  # fmt: skip

    def notes(self) -> list[str]:
        """Return a message that names the spellings."""
        variants = sorted(self._variants())
        if not variants:
            return []
        texts = [
            " = ".join(f"{spelling!r} ({self._counts[spelling]})" for spelling in spellings)
            for spellings in variants[:_MAX_LISTED]
        ]
        more = f"; and {len(variants) - _MAX_LISTED} more" if len(variants) > _MAX_LISTED else ""
        one = "1 species has" if len(variants) == 1 else f"{len(variants)} species have"
        return [f"{one} several spellings; the first one is used for all: {'; '.join(texts)}{more}"]

    def _variants(self) -> Iterable[list[str]]:
        """Return the spellings of each label that has several, most frequent first."""
        by_key: dict[str, list[str]] = {}
        for spelling in self._counts:
            if spelling:
                by_key.setdefault(label_key(spelling), []).append(spelling)
        # The sort is stable, so equally frequent spellings stay in the order in which they were added.
        return [sorted(found, key=lambda s: -self._counts[s]) for found in by_key.values() if len(found) > 1]
