"""The options of a request for a prediction, from its query, its form and its headers."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from werkzeug.datastructures import MIMEAccept

from autobird.predict.species_names import SpeciesNames
from autobird.serving.compute.requests import TaskOptions
from autobird.serving.parameters import SHOWN, number_of, shown, wrong_option
from autobird.serving.problems import Problem
from autobird.serving.settings import ServeSettings
from autobird.serving.tables import FORMATS

NAMES = ("top_k", "threshold", "precision", "species", "overlap", "windows", "spectrogram", "format")
"""Options, as parameters of the query or as fields of the form; a parameter replaces the field of the same name."""

_OTHER_PARAMETERS = ("name",)
"""Parameters of the query that are read elsewhere (`upload`)."""

_MAX_SPECIES = 10_000
_MAX_LISTED = 5

_searching = threading.Lock()
"""Held by the request that looks for similar names."""

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


class Asked(NamedTuple):
    """What a client asks for.

    Attributes:
        options: how the recordings are classified.
        form: format of the answer, one of `tables.FORMATS`.
    """

    options: TaskOptions
    form: str


def parse_options(
    query: Iterable[tuple[str, str]],
    fields: Sequence[tuple[str, str]],
    accept: MIMEAccept,
    species: SpeciesNames,
    settings: ServeSettings,
) -> Asked:
    """Return what a client asks for.

    Args:
        query: names and values of the parameters, in their order.
        fields: names and texts of the form's fields that are options.
        accept: the header Accept, which selects the format if there is no option for it.
        species: names of the species of the bundle.
        settings: limits of the server.

    Raises:
        Problem: a value is not possible, or a parameter of the query is not known.
    """
    given: dict[str, list[str]] = {}
    unknown: dict[str, None] = {}
    for name, text in query:
        if name in NAMES:
            given.setdefault(name, []).append(text)
        elif name not in _OTHER_PARAMETERS:
            unknown[name] = None
    if unknown:
        names = ", ".join(shown(name) for name in list(unknown)[:_MAX_LISTED])
        known = ", ".join((*NAMES, *_OTHER_PARAMETERS))
        raise Problem(400, "Wrong option", f"there is no parameter {names}; known are {known}")
    of_query = set(given)
    for name, text in fields:
        if name not in of_query:
            given.setdefault(name, []).append(text)

    def value(name: str, parse: Callable[[str, str], Any], default: Any = None) -> Any:
        # Of a repeated option, the last one counts. An empty one is not given, as from an empty field of a page's form.
        text = given.get(name, [""])[-1].strip()
        return default if not text and name not in ("windows", "spectrogram") else parse(name, text)

    options = TaskOptions(
        threshold=value("threshold", _number(0, 1)),
        precision=value("precision", _number(0, 1)),
        species=_labels(given.get("species", ()), species),
        overlap=value("overlap", _number(0, 60)),
        top_k=value("top_k", _top_k),
        spectrogram="spectrogram" in given and value("spectrogram", _flag),
        windows="windows" not in given or value("windows", _flag),
        max_seconds=settings.max_seconds,
        max_values=settings.max_values,
    )
    best = accept.best_match(list(FORMATS.values())[:3], "application/json")
    form = value("format", _format, next(name for name, kind in FORMATS.items() if kind == best))
    return Asked(options, form)


def _number(low: float, high: float) -> Callable[[str, str], float]:
    return lambda name, text: number_of(name, text, low, high)


def _top_k(name: str, text: str) -> int:
    if text.lower() == "all":
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise wrong_option(name, text, "a whole number from 0 to 999999; 0 or `all` for all species")
    return int(text)


def _flag(name: str, text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise wrong_option(name, text, "1 or 0, true or false")


def _format(name: str, text: str) -> str:
    if text.lower() not in FORMATS:
        raise wrong_option(name, text, f"one of {', '.join(FORMATS)}")
    return text.lower()


def _labels(texts: Sequence[str], names: SpeciesNames) -> tuple[str, ...] | None:
    """Return the labels of species that are named in one or several texts, separated by commas; None if there is none."""
    wanted = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    if len(wanted) > _MAX_SPECIES:
        raise Problem(400, "Wrong option", f"species has {len(wanted)} names; give at most {_MAX_SPECIES}")
    labels: dict[str, None] = {}
    unknown = []
    for name in wanted:
        scientific, _, common = name.partition("_")
        label = next((found for part in (name, scientific, common) if part and (found := names.find(part))), None)
        if label is None:
            unknown.append(name)
        else:
            labels[label] = None
    if unknown:
        listed: list[str] = []
        for name in unknown[:_MAX_LISTED]:
            close = _similar(names, name[:SHOWN]) if not listed else ""
            listed.append(f"{shown(name)} (similar: {close})" if close else shown(name))
        more = f", and {len(unknown) - _MAX_LISTED} more" if len(unknown) > _MAX_LISTED else ""
        raise Problem(
            400,
            "Wrong option",
            f"the model does not know the species {', '.join(listed)}{more}; /v1/species lists those it knows",
        )
    return tuple(labels) or None


def _similar(names: SpeciesNames, name: str) -> str:
    """Return similar names; none while another request looks for some, as that takes up to 0.3 s of computing time in the front."""
    if not _searching.acquire(blocking=False):
        return ""
    try:
        return ", ".join(names.suggestions(name))
    finally:
        _searching.release()
