"""Which recordings must not be used whatever they sound like: taken down, refused by their licence, of no species."""

import csv
import re
from pathlib import Path
from typing import NamedTuple

from autobird.core.errors import AutobirdError
from autobird.sources.base import ListedRecording, RecordingMetadata
from autobird.sources.licences import allowed
from autobird.sources.settings import SourceSettings

TAKEN_DOWN = "taken down (corpus.take_down)"
REFUSED = "its licence is not among corpus.licences.train; the catalogue tells which it is"
NO_SPECIES = "its label names no species (corpus.unknown_species); give it one"

HASH = "sha256:"
"""Beginning of a verdict that is about content instead of an id."""


class TakeDown(NamedTuple):
    """What must not be used: ids or XC numbers, recordists, sha256 of files or of sounds."""

    ids: frozenset[str] = frozenset()
    recordists: frozenset[str] = frozenset()
    hashes: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path) -> "TakeDown":
        """Read the list.

        Raises:
            AutobirdError: not a table of kind and value; names the line.
        """
        found: dict[str, set[str]] = {"id": set(), "recordist": set(), "sha256": set()}
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                for line, row in enumerate(csv.reader(file), 1):
                    cells = [cell.strip() for cell in row]
                    if not any(cells) or (line == 1 and cells[0].lower() == "kind"):
                        continue
                    kind, value = cells[0].lower(), cells[1] if len(cells) > 1 else ""
                    if kind not in found or not value:
                        raise AutobirdError(
                            f"{path}, line {line}: {','.join(row)!r} is not a kind (id, recordist, sha256) and a value"
                        )
                    if kind == "sha256" and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
                        raise AutobirdError(f"{path}, line {line}: {value!r} is not a sha256 (64 hexadecimal digits)")
                    found[kind].add(value.lower() if kind == "sha256" else value)
        except UnicodeDecodeError as error:
            raise AutobirdError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
        except OSError as error:
            raise AutobirdError(f"corpus.take_down: {path} cannot be read ({error.strerror})") from error
        return cls(frozenset(found["id"]), frozenset(found["recordist"]), frozenset(found["sha256"]))

    def covers(self, row: ListedRecording, facts: RecordingMetadata | None) -> bool:
        """Whether a recording is on the list, by all that is known before anybody listens to it."""
        if row.recording in self.ids or row.content.removeprefix(HASH) in self.hashes:
            return True
        return facts is not None and (facts.number in self.ids or facts.recordist in self.recordists)


def take_down_of(settings: SourceSettings) -> TakeDown:
    """The list that the settings name, or an empty one."""
    return TakeDown.read(Path(settings.take_down).expanduser()) if settings.take_down else TakeDown()


def verdict(row: ListedRecording, facts: RecordingMetadata | None, settings: SourceSettings, annotated: bool) -> str:
    """Why a recording must not be used, or "": by its label and its licence."""
    if not annotated and row.species in settings.unknown_species:
        return NO_SPECIES
    if not allowed(facts.licence if facts else "", settings.licences.train):
        return REFUSED
    return ""
