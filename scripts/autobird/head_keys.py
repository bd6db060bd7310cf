"""The keys of `train` that have an effect on a head, and the note about the others."""

from collections.abc import Mapping
from typing import Any

from autobird.config import Config
from autobird.core.wording import listed
from autobird.model.settings import HeadSettings, TrainSectionSettings

HEAD_KEYS = (*HeadSettings.model_fields, "seeds", "ensemble")
"""Keys of `train` that have an effect on a head, without `architecture`."""


def head_notes(raw: Mapping[str, Any], main: Config) -> list[str]:
    """Return a note about the keys of `train` that were given and have no effect, because the run trains a head.

    Args:
        raw: the configuration of the run, as read from YAML. Keys with the value of the default are not named.
        main: the same, validated.
    """
    if main.train.architecture != "head":
        return []
    fields = TrainSectionSettings.model_fields
    unused = [
        f"train.{key}"
        for key in raw.get("train") or {}
        if key not in {"architecture", *HEAD_KEYS} and getattr(main.train, key) != fields[key].default
    ]
    if not unused:
        return []
    return [
        f"{listed(unused)} {'has' if len(unused) == 1 else 'have'} no effect, because train.architecture is head; of the section train, "
        f"a head uses only {listed(HEAD_KEYS)}"
    ]
