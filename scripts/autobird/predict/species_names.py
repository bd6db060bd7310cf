"""Find the species that a user names among those of a bundle: by label, scientific or common name, or synonym."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from autobird.backbone.birdnet_files import LABELS, birdnet_files
from autobird.core.errors import AutobirdError
from autobird.core.text import read_text_of_user
from autobird.sources.delimited_text import read_rows_of_user
from autobird.sources.labels import label_key

_SIMILARITY = 0.75
"""Smallest similarity of a name that is suggested (difflib's ratio)."""

_MAX_SUGGESTIONS = 3
_MAX_LISTED = 10


class SpeciesNames:
    """Names of the species of a bundle.

    Names are compared by `label_key`: case, spaces, hyphens and underscores do not count.

    Args:
        labels: species of the bundle.
        others: other names of some species: each group holds names of one species; the group counts if one of them is a label. Groups
            that hold several labels, or names that belong to several labels, are not used.
    """

    def __init__(self, labels: Sequence[str], others: Iterable[Iterable[str]] = ()) -> None:
        self._label_of: dict[str, str] = {label_key(name): name for name in labels}
        ambiguous: set[str] = set()
        found: dict[str, str] = {}
        for group in others:
            names = [key for name in group if (key := label_key(name))]
            owners = {self._label_of[key] for key in names if key in self._label_of}
            if len(owners) != 1:
                continue
            (owner,) = owners
            for key in names:
                if found.setdefault(key, owner) != owner:
                    ambiguous.add(key)
        for key, owner in found.items():
            if key not in ambiguous:
                self._label_of.setdefault(key, owner)

    def find(self, name: str) -> str | None:
        """Return the label of a species, None if the bundle does not know it."""
        return self._label_of.get(label_key(name))

    def suggestions(self, name: str) -> list[str]:
        """Return the labels whose names are most similar to `name`, best first."""
        close = difflib.get_close_matches(label_key(name), self._label_of, n=2 * _MAX_SUGGESTIONS, cutoff=_SIMILARITY)
        return list(dict.fromkeys(self._label_of[key] for key in close))[:_MAX_SUGGESTIONS]


def names_of(labels: Sequence[str], table: Path | None = None) -> SpeciesNames:
    """Return the names of the species of a bundle, as far as this machine knows them.

    Args:
        labels: species of the bundle.
        table: CSV table given by the user; each row holds names of one species. None: none.

    Other names come from the file of labels of BirdNET, if it is installed (scientific and common names).

    Raises:
        AutobirdError: the table cannot be read.
    """
    groups: list[list[str]] = [] if table is None else read_rows_of_user(table, "--names").rows
    return SpeciesNames(labels, [*groups, *birdnet_names()])


def birdnet_names() -> list[list[str]]:
    """Return scientific and common name of each species of BirdNET; empty if it is not installed."""
    try:
        model, labels = birdnet_files()
    except AutobirdError:
        return []
    file = labels or model.with_name(LABELS)
    return [line.split("_", 1) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def names_in_list(path: Path) -> list[str]:
    """Return the names in a species list: a text file with one name per line. Empty lines and lines that begin with # do not count.

    Raises:
        AutobirdError: the file cannot be read or names no species.
    """
    lines = [line.strip() for line in read_text_of_user(path, "--species").text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise AutobirdError(f"--species {path} names no species; write one name per line")
    return names


def read_species_list(path: Path, names: SpeciesNames) -> tuple[str, ...]:
    """Return the labels that a species list names, in the order of the list, each once.

    The list is one of `names_in_list`, as BirdNET-Analyzer reads it (`Scientific name_Common name` also works).

    Args:
        path: the file.
        names: names of the species of the bundle.

    Raises:
        AutobirdError: the file cannot be read or names no species, or the bundle does not know a name; the message names all unknown
            names, with similar ones.
    """
    wanted = names_in_list(path)
    found: dict[str, None] = {}
    unknown: list[str] = []
    for name in wanted:
        scientific, _, common = name.partition("_")
        parts = (name, scientific, common) if scientific and common else (name,)
        label = next((label for part in parts if (label := names.find(part))), None)
        if label is None:
            unknown.append(name)
        else:
            found[label] = None
    if unknown:
        raise AutobirdError(f"--species {path}: {_unknown(unknown, names)}")
    return tuple(found)


def _unknown(unknown: Sequence[str], names: SpeciesNames) -> str:
    """Return which names the bundle does not know, with similar ones."""
    texts = []
    for name in unknown[:_MAX_LISTED]:
        close = ", ".join(names.suggestions(name))
        texts.append(f"{name!r} (similar: {close})" if close else repr(name))
    more = f", and {len(unknown) - _MAX_LISTED} more" if len(unknown) > _MAX_LISTED else ""
    return (
        f"the bundle does not know {', '.join(texts)}{more}; correct or remove these lines, or give other names with --names "
        "(a CSV table; each row holds the names of one species)"
    )
