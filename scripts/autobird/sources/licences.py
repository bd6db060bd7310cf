"""Licences by their family, and what a policy lets one do with a recording."""

import re
from collections.abc import Iterable
from functools import cache

from autobird.sources.missing import known
from autobird.sources.settings import CREATIVE_COMMONS

UNKNOWN = "unknown"
STRICTEST = CREATIVE_COMMONS[-1]
"""What an unknown licence counts as."""

_URL = re.compile(r"creativecommons\.org/(?:licenses/([a-z-]+)|(publicdomain/(?:zero|mark)))(?:/(\d\.\d))?", re.I)
_NAME = re.compile(
    r"(?:cc|creative commons)?[ -]*(by(?:[ -](?:nc|nd|sa)){0,2})(?:[ -]*(\d\.\d))?(?:[ -]*(?:international|int|intl))?",
    re.I,
)
_ZERO = re.compile(r"(?:cc[ -]*0|cc[ -]*zero|public domain)(?:[ -]*(\d\.\d))?", re.I)


@cache
def family(licence: str) -> str:
    """The family that a licence's URL or name says: one of `CREATIVE_COMMONS`, `unknown`, or the text as it is.

    A text that speaks of Creative Commons without saying which one is unknown.
    """
    text = known(licence)
    if not text:
        return UNKNOWN
    if match := _URL.search(text):
        return "CC0" if match[2] else _known(match[1], text)
    if _ZERO.fullmatch(text):
        return "CC0"
    if match := _NAME.fullmatch(text):
        return _known(match[1], text)
    return UNKNOWN if re.search(r"\bcc\b|creative ?commons", text, re.I) else text


def _known(parts: str, text: str) -> str:
    words = set(re.split(r"[ -]+", parts.lower()))
    name = "-".join(w.upper() for w in ("by", "nc", "nd", "sa") if w in words)
    return name if name in CREATIVE_COMMONS else text


def url(licence: str) -> str:
    """Where a licence of Creative Commons can be read; "" for others."""
    text = licence.strip()
    if text.startswith("//"):
        text = f"https:{text}"
    if _URL.search(text):
        return text
    match = _NAME.fullmatch(text)
    if _ZERO.fullmatch(text):
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    name = family(text)
    if match is None or name not in CREATIVE_COMMONS:
        return ""
    return f"https://creativecommons.org/licenses/{name.lower()}/{match[2] or '4.0'}/"


@cache
def allowed(licence: str, policy: tuple[str, ...]) -> bool:
    """Whether a licence is among those of a policy; an unknown one counts as the strictest."""
    name = family(licence)
    wanted = {entry.upper().removeprefix("CC ").strip() for entry in policy}
    return (STRICTEST if name == UNKNOWN else name).upper() in wanted


def terms(families: Iterable[str]) -> dict[str, bool | str]:
    """What all recordings together allow: the strictest of their licences decides, word by word.

    Args:
        families: of the recordings in use; `unknown` counts as `STRICTEST`, and so does a licence of another kind,
            as nobody here has read it.
    """
    names = sorted(set(families))
    words = {w for name in names for w in (name if name in CREATIVE_COMMONS else STRICTEST).split("-")}
    unread = [name for name in names if name not in CREATIVE_COMMONS]
    conditions = [
        ("BY", "name the recordists (ATTRIBUTION.csv)"),
        ("NC", "no commercial use"),
        ("ND", "pass on no audio or shards made from it"),
        ("SA", "pass on what is made from it under the same licence"),
    ]
    statement = "; ".join(text for word, text in conditions if word in words) or "no conditions"
    if unread:
        statement += f"; licences that are unknown or not of Creative Commons count as {STRICTEST}: {', '.join(unread)}"
    return {
        "attribution": "BY" in words,
        "commercial_use": "NC" not in words,
        "derived_audio": "ND" not in words,
        "share_alike": "SA" in words,
        "statement": f"{statement}.",
    }
