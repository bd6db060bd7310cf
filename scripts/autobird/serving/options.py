"""Turn the options of `autobird serve` into settings; an invalid value is reported in one line."""

import os
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from autobird.core.errors import AutobirdError
from autobird.serving.settings import MAX_WORKERS, ServeSettings

_KINDS = {"integer": "a whole number", "number": "a number", "string": "a text of at least 1 character"}

_NAMES = {
    "allow_host": (
        re.compile(r"\[?[\w.:-]+\]?"),
        "a host name without http:// and path, for example birds.example.org",
    ),
    "allow_origin": (
        re.compile(r"https?://(\[[0-9a-fA-F:]+\]|[\w.-]+)(:\d+)?"),
        "an origin without path, for example https://example.org",
    ),
}
"""Options that can be repeated: what their values look like, and an example."""


def serve_settings(options: Mapping[str, Any]) -> ServeSettings:
    """Return the settings for options of the command line, by field name; None stands for the default.

    The default numbers of workers and of threads of the backbone are one per CPU core that this process may use, at most `MAX_WORKERS`.

    Raises:
        AutobirdError: a value is not valid; the message names the option, the value and the allowed values.
    """
    values = {name: options[name] for name in ServeSettings.model_fields if options.get(name) is not None}
    for name in ("allow_host", "allow_origin"):
        for value in values.get(name, ()):
            _check_name(name, value)
    try:
        cores = min(available_cores(), MAX_WORKERS)
        return ServeSettings(**({"workers": cores, "backbone_threads": cores} | values))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        value = str(first["input"]) or "''"
        raise AutobirdError(f"{_option(name)} {value} is not possible; give {_allowed(name)}") from error


def _check_name(field: str, value: str) -> None:
    """Check a host name or an origin.

    Raises:
        AutobirdError: it has another form.
    """
    pattern, example = _NAMES[field]
    if value != "*" and not pattern.fullmatch(value):
        raise AutobirdError(f"{_option(field)} {value or repr('')} is not possible; give {example}, or * for all")


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def available_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _allowed(name: str) -> str:
    """Describe the allowed values of a field."""
    schema = ServeSettings.model_json_schema()["properties"][name]
    schema = next((kind for kind in schema.get("anyOf", ()) if kind["type"] != "null"), schema)
    text = _KINDS[schema["type"]]
    if "exclusiveMinimum" in schema:
        text += f" above {schema['exclusiveMinimum']:g}"
    if "minimum" in schema:
        text += f" from {schema['minimum']:.10g}"
    if "maximum" in schema:
        text += f" to {schema['maximum']:.15g}"
    return text
