"""Kinds of recordings (focal, negative, annotated) and the species that may be present besides the label, as tables."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache

from autobird.core.wording import counted
from autobird.sources.base import ANNOTATED, NEGATIVE, NEGATIVE_LABEL, NO_NAME, REVIEWED, ListedRecording
from autobird.sources.labels import label_key, plain_label
from autobird.sources.manifest import CsvTable
from autobird.sources.missing import drop_placeholder

KIND_COLUMNS = ("recording", "kind")
"""Columns of `kinds.csv`: a row for each recording that is not focal."""

LABEL_COLUMNS = ("recording", "kind", "uncertain")
"""Columns of `labels.csv`: a row for each recording that is not focal, or beside whose label other species may be present.
`uncertain` is a JSON list of their names."""

_IN_SPECIES_FOLDER = (
    "a negative in the folder {!r}, which has the name of a species; label it as that species, rename the folder, or, if the name is "
    "none of a species, add it to corpus.negative_names"
)

_MAX_LISTED = 10
"""Maximum number of names that one note lists."""

_BETWEEN_SPECIES = re.compile(r"[,;|\n]")

_MAY_BE_SPECIES = frozenset(("other", "others", "background"))
"""Negative names that mean other species when they are the label of a box."""

_AROUND_SPECIES = " \t[]'\"()"
"""Characters around a name, for example those of a list that Python wrote: `['Parus major', 'Turdus merula']`."""


@lru_cache(1 << 16)
def species_in(text: str) -> tuple[str, ...]:
    """Return the species that a cell of background species names, each once, in its order."""
    names = (drop_placeholder(plain_label(part.strip(_AROUND_SPECIES))) for part in _BETWEEN_SPECIES.split(text))
    return tuple(dict.fromkeys(filter(None, names)))


class RecordingKinds:
    """Collects the kinds of the recordings of a source, and their uncertain species.

    Attributes:
        counts: number of recordings of each kind, without those that have a problem.

    Args:
        negative_names: labels of recordings that hold no species.
        unknown_species: labels that do not name a species; they take precedence.
    """

    def __init__(self, negative_names: Iterable[str], unknown_species: frozenset[str]) -> None:
        self._unknown = unknown_species
        self._negative = frozenset(map(label_key, negative_names)) - unknown_species
        self._rows: list[tuple[str, str, tuple[str, ...]]] = []
        self._names: Counter[str] = Counter()
        self._in_folder: dict[str, list[str]] = defaultdict(list)
        self._with_common_name: dict[str, set[str]] = defaultdict(set)
        self._translated: dict[str, str] = {}
        self._matches = 0
        self._example = ""
        self.counts: Counter[str] = Counter()

    def box_problem(self, label: str) -> str:
        """Return why the label of a box is not a species; "" if it is one."""
        key = label_key(label)
        if key in self._unknown or key in self._negative & _MAY_BE_SPECIES:
            return NO_NAME
        return NEGATIVE_LABEL if key in self._negative else ""

    def classified(self, recording: ListedRecording) -> ListedRecording:
        """Return a recording with its kind. A negative has no species."""
        if recording.kind == NEGATIVE:
            return recording._replace(species="")
        if recording.kind in (ANNOTATED, REVIEWED) or label_key(recording.species) not in self._negative:
            return recording
        if not recording.problem:
            self._names[recording.species] += 1
        return recording._replace(species="", kind=NEGATIVE)

    def add(self, recording: ListedRecording, background: str) -> None:
        """Add a recording as `classified` returned it.

        Args:
            recording: the recording.
            background: its background species, separated by commas or semicolons.
        """
        if not recording.problem:
            self.counts[recording.kind] += 1
        left_out = {label_key(recording.species), ""} | self._unknown | self._negative
        uncertain = (
            tuple(name for name in species_in(background) if label_key(name) not in left_out) if background else ()
        )
        if recording.kind or uncertain:
            self._rows.append((recording.recording, recording.kind, uncertain))

    def add_common_name(self, species: str, common_name: str) -> None:
        """Add another name of a label, with which background species may be written."""
        if species:
            self._with_common_name[label_key(common_name)].add(label_key(species))

    def add_negative(self, recording: str, id_in_source: str) -> None:
        """Add a negative that may be used, for `in_species_folders`; its id in its source is a path."""
        self._in_folder[id_in_source.rpartition("/")[0]].append(recording)

    def in_species_folders(self, species: Iterable[str]) -> list[tuple[str, str]]:
        """Return the negatives in folders that have the name of a species of the corpus, each with the reason why it is not used.

        A common name of such a species counts, too.
        """
        keys = set(map(label_key, species))
        keys |= {name for name, labels in self._with_common_name.items() if not keys.isdisjoint(labels)}
        found = []
        for folder, recordings in self._in_folder.items():
            name = next((part for part in folder.split("/") if part and label_key(part) in keys), "")
            found += [(recording, _IN_SPECIES_FOLDER.format(name)) for recording in recordings if name]
        return sorted(found)

    def write(self, labels: CsvTable, kinds: CsvTable, species: Iterable[str]) -> None:
        """Write the rows of the two tables.

        Args:
            labels: table with `LABEL_COLUMNS`.
            kinds: table with `KIND_COLUMNS`.
            species: names of the species of the corpus; another spelling of such a name, and a common name of such a species alone, are
                written like it.
        """
        spelling = {label_key(name): name for name in species}
        common = {
            key: spelling[next(iter(labels))]
            for key, labels in self._with_common_name.items()
            if key not in spelling and len(labels) == 1 and labels <= spelling.keys()
        }
        for recording, kind, uncertain in self._rows:
            names: dict[str, str] = {}
            for name in uncertain:
                key = label_key(name)
                written = spelling.get(key) or common.get(key) or name
                names[label_key(written)] = written
                if key in common:
                    self._translated[name] = written
                self._matches += key in spelling or key in common
                self._example = self._example or name
            labels.add(recording, kind, json.dumps(list(names.values()), ensure_ascii=False) if names else "[]")
            if kind:
                kinds.add(recording, kind)
        self._rows.clear()

    def notes(self) -> list[str]:
        """Return which names of background species were translated, and how many recordings are negatives, and by which names.

        Call it after `write`.
        """
        return [*self._notes_of_background(), *self._notes_of_negatives()]

    def _notes_of_background(self) -> list[str]:
        if self._translated:
            names = [f"{name} = {label}" for name, label in sorted(self._translated.items())]
            more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
            return [f"background species written with their common name: {'; '.join(names[:_MAX_LISTED])}{more}"]
        if self._example and not self._matches:
            remedy = (
                "the column of common names (corpus.columns.common_name) was read, too; correct the names if they are written otherwise"
                if self._with_common_name
                else "if they are written with other names, give a column corpus.columns.common_name"
            )
            return [
                f"no background species (for example {self._example!r}) is a species of the corpus, so all species of the corpus count as "
                f"absent from the background; {remedy}"
            ]
        return []

    def _notes_of_negatives(self) -> list[str]:
        if not self.counts[NEGATIVE]:
            return []
        listed = [f"{name!r} ({count})" for name, count in self._names.most_common(_MAX_LISTED)]
        more = f" and {len(self._names) - _MAX_LISTED} more" if len(self._names) > _MAX_LISTED else ""
        by_name = f"; by corpus.negative_names: {', '.join(listed)}{more}" if listed else ""
        are = counted(
            self.counts[NEGATIVE], "recording is a negative, which holds", "recordings are negatives, which hold"
        )
        return [f"{are} no species{by_name}"]
