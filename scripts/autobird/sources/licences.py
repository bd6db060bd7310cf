"""Licences: their families, and the uses that a policy allows."""

import re
from collections.abc import Iterable
from functools import cache

from autobird.sources.missing import drop_placeholder
from autobird.sources.settings import CREATIVE_COMMONS

UNKNOWN = "unknown"
STRICTEST = CREATIVE_COMMONS[-1]
"""An unknown licence is treated as this one."""

_ATTRIBUTION_ONLY = ("APACHE-2.0", "APACHE 2.0", "MIT", "BSD-2-CLAUSE", "BSD-3-CLAUSE")
"""Licences of software and networks whose conditions are at most those of CC BY."""

_URL = re.compile(r"creativecommons\.org/(?:licenses/([a-z-]+)|(publicdomain/(?:zero|mark)))(?:/(\d\.\d))?", re.I)
_NAME = re.compile(
    r"(?:cc|creative commons)?[ -]*(by(?:[ -](?:nc|nd|sa)){0,2})(?:[ -]*(\d\.\d))?(?:[ -]*(?:international|int|intl))?",
    re.I,
)
_ZERO = re.compile(r"(?:cc[ -]*0|cc[ -]*zero|public domain)(?:[ -]*(\d\.\d))?", re.I)


@cache
def family(licence: str) -> str:
    """Return the family of a licence, given by its URL or name.

    The family is one of `CREATIVE_COMMONS`, `unknown`, or the text itself for other licences. A text that mentions Creative
    Commons without naming one of its licences is unknown.
    """
    text = drop_placeholder(licence)
    if not text:
        return UNKNOWN
    if match := _URL.search(text):
        return "CC0" if match[2] else _creative_commons(match[1], text)
    if _ZERO.fullmatch(text):
        return "CC0"
    if match := _NAME.fullmatch(text):
        return _creative_commons(match[1], text)
    return UNKNOWN if re.search(r"\bcc\b|creative ?commons", text, re.I) else text


def _creative_commons(elements: str, text: str) -> str:
    """Return the family with these elements (`by-sa-nc`, in any order); `text` if Creative Commons has no such licence."""
    words = set(re.split(r"[ -]+", elements.lower()))
    name = "-".join(w.upper() for w in ("by", "nc", "nd", "sa") if w in words)
    return name if name in CREATIVE_COMMONS else text


def licence_url(licence: str) -> str:
    """Return the address of a Creative Commons licence; "" for other licences."""
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
    """Return whether a policy lists the family of a licence. An unknown licence is treated as the strictest family."""
    name = family(licence)
    listed = {entry.upper().removeprefix("CC ").strip() for entry in policy}
    return (STRICTEST if name == UNKNOWN else name).upper() in listed


def network_family(licence: str) -> str:
    """Return the family of the licence of a pretrained network: as `family`, but BY for licences like Apache-2.0 and MIT."""
    return "BY" if licence.strip().upper() in _ATTRIBUTION_ONLY else family(licence)


def network_allowed(licence: str, policy: tuple[str, ...]) -> bool:
    """Return whether a policy allows a pretrained network under a licence.

    As `allowed` for recordings, but a licence that is not of Creative Commons is treated as the strictest family if it is not listed,
    unless its conditions are known (`network_family`).
    """
    name = network_family(licence)
    return allowed(licence, policy) or allowed(name if name in CREATIVE_COMMONS else STRICTEST, policy)


def terms(families: Iterable[str], networks: Iterable[str] = ()) -> dict[str, bool | str]:
    """Return the combined terms of all that a model is made of: a condition of one licence applies to all of them together.

    Args:
        families: licence families of the recordings in use. `unknown` is treated as `STRICTEST`, and so are licences other
            than Creative Commons, because this code cannot interpret them.
        networks: licences of the pretrained networks in use.
    """
    of_recordings, of_networks = set(families), {network_family(licence) for licence in networks}
    names = sorted(of_recordings | of_networks)
    words = {w for name in names for w in (name if name in CREATIVE_COMMONS else STRICTEST).split("-")}
    not_interpreted = [name for name in names if name not in CREATIVE_COMMONS]
    named = ["the recordists (ATTRIBUTION.csv)"] if of_recordings - {"CC0"} else []
    named += ["the source of the pretrained network (MODEL_CARD.md)"] if of_networks - {"CC0"} else []
    conditions = [
        ("BY", f"name {' and '.join(named)}"),
        ("NC", "no commercial use"),
        ("ND", "do not pass on audio or spectrograms derived from the recordings"),
        ("SA", "pass on derived works only under the same licence"),
    ]
    statement = "; ".join(text for word, text in conditions if word in words) or "no conditions"
    if not_interpreted:
        statement += f"; licences that are unknown or not of Creative Commons (here: {', '.join(not_interpreted)}) count as {STRICTEST}"
    return {
        "attribution": "BY" in words,
        "commercial_use": "NC" not in words,
        "derived_audio": "ND" not in words,
        "share_alike": "SA" in words,
        "statement": f"{statement}.",
    }
