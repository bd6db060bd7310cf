"""What people write into a table where they know nothing."""

import re
from functools import lru_cache

_WORDS = frozenset(
    (
        "na", "n a", "nan", "nat", "none", "null", "nil", "void", "missing", "empty", "undefined", "undetermined", "unspecified",
        "unknown", "unkown", "unkn", "unk", "uncertain", "not known", "not specified", "not available", "not applicable",
        "not recorded", "not given", "not stated", "not provided", "no data", "nodata", "no date", "no location", "anonymous", "anon",
        "tbd", "tba", "unbekannt", "inconnu", "inconnue", "desconocido", "desconocida", "desconhecido", "desconhecida", "sconosciuto",
        "onbekend",
    )
)  # fmt: skip
"""Words for nothing known, in lower case; other characters than letters around and between them do not count."""

_OF_WHAT = re.compile(
    r"^(?:unknown|not known|no) (?:recordist|recorder|author|observer|person|place|location|locality|site|date|day|time|licen[cs]e|"
    r"quality|year)$"
)

_LONGEST = 24
"""Longer texts say something."""

_NO_WORDS = re.compile(r"[\W_]+")

_ZERO_DATE = re.compile(r"0{4}([-/.]0{1,2}){0,2}")


def known(text: str) -> str:
    """A text without the spaces around it, "" if it only says that nothing is known.

    `NA`, `n/a`, `#N/A`, `NaN`, `<NA>`, `None`, `null`, `unknown`, `(unknown)`, `unknown location`, `-`, `--`, `?`, `??:??`,
    `0000-00-00` and the like, in upper or lower case. Not for labels and names of files, which may be such words.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return text
    if text[-1].isdigit():
        return "" if _ZERO_DATE.fullmatch(text) else text
    return "" if _says_nothing(text) else text


@lru_cache(1 << 14)
def _says_nothing(text: str) -> bool:
    plain = _NO_WORDS.sub(" ", text).strip().casefold()
    return not plain or plain in _WORDS or _OF_WHAT.match(plain) is not None
