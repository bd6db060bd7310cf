"""Placeholders for missing values in tables that people write, such as `NA`, `unknown` or `--`."""

import re
from functools import lru_cache

_PLACEHOLDERS = frozenset(
    (
        "na", "n a", "nan", "nat", "none", "null", "nil", "void", "missing", "empty", "undefined", "undetermined", "unspecified",
        "unknown", "unkown", "unkn", "unk", "uncertain", "not known", "not specified", "not available", "not applicable",
        "not recorded", "not given", "not stated", "not provided", "no data", "nodata", "no date", "no location", "anonymous", "anon",
        "tbd", "tba", "unbekannt", "inconnu", "inconnue", "desconocido", "desconocida", "desconhecido", "desconhecida", "sconosciuto",
        "onbekend",
    )
)  # fmt: skip
"""Placeholders in lower case. Characters other than letters, around and between the words, are ignored."""

_UNKNOWN_FIELD = re.compile(
    r"^(?:unknown|not known|no) (?:recordist|recorder|author|observer|person|place|location|locality|site|date|day|time|licen[cs]e|"
    r"quality|year)$"
)

_MAX_LENGTH = 24
"""Length of the longest placeholder, characters. Longer texts are values."""

_NOT_LETTERS = re.compile(r"[\W_]+")

_ZERO_DATE = re.compile(r"0{4}([-/.]0{1,2}){0,2}")


def drop_placeholder(text: str) -> str:
    """Return a text without the spaces around it, or "" if it is a placeholder for a missing value.

    Placeholders are `NA`, `n/a`, `#N/A`, `NaN`, `<NA>`, `None`, `null`, `unknown`, `(unknown)`, `unknown location`, `-`, `--`,
    `?`, `??:??`, `0000-00-00` and the like, in upper or lower case. Do not use this function for labels and file names, which
    may be such words.
    """
    text = text.strip()
    if not text or len(text) > _MAX_LENGTH:
        return text
    if text[-1].isdigit():
        return "" if _ZERO_DATE.fullmatch(text) else text
    return "" if _is_placeholder(text) else text


@lru_cache(1 << 14)
def _is_placeholder(text: str) -> bool:
    words = _NOT_LETTERS.sub(" ", text).strip().casefold()
    return not words or words in _PLACEHOLDERS or _UNKNOWN_FIELD.match(words) is not None
