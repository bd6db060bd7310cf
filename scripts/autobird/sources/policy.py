"""Recordings that must not be used for reasons other than their audio: take-downs, licences, labels without a species."""

import re
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.sources.base import SHA256_PREFIX, ListedRecording, RecordingMetadata
from autobird.sources.delimited_text import read_rows_of_user
from autobird.sources.licences import allowed
from autobird.sources.settings import SourceSettings

TAKEN_DOWN = "taken down (corpus.take_down)"
LICENCE_REFUSED = "its licence is not listed in corpus.licences.train; catalogue.parquet shows the licence"
NO_SPECIES = "its label is not a species (corpus.unknown_species); correct the label"


class TakeDownList:
    """The take-down list: ids or XC numbers, recordists, and sha256 of files or of decoded audio.

    Attributes:
        checksums: the sha256 on the list.
    """

    def __init__(self) -> None:
        self.checksums: set[str] = set()
        self._values: dict[str, set[str]] = {"id": set(), "recordist": set(), "sha256": self.checksums}
        self._found: set[tuple[str, str]] = set()
        self._notes: list[str] = []

    @classmethod
    def read(cls, path: Path) -> "TakeDownList":
        """Read the list from a CSV table with the columns kind and value; a header is optional.

        Raises:
            AutobirdError: a line is not a kind and a value (the message gives its number), or the file cannot be read.
        """
        result = cls()
        rows, note = read_rows_of_user(path, "corpus.take_down:")
        if note:
            result._notes.append(f"{path}: {note}")
        for number, cells in enumerate(rows, 1):
            if any(cells) and not (number == 1 and cells[0].lower() == "kind"):
                result._add(f"{path}, line {number}", cells)
        return result

    def _add(self, where: str, cells: list[str]) -> None:
        kind, value = cells[0].lower(), cells[1] if len(cells) > 1 else ""
        if kind not in self._values or not value:
            raise AutobirdError(f"{where}: {','.join(cells)!r} is not a kind (id, recordist, sha256) and a value")
        if kind == "sha256" and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise AutobirdError(f"{where}: {value!r} is not a sha256 (64 hexadecimal digits)")
        self._values[kind].add(value.lower() if kind == "sha256" else value)

    def covers(self, recording: ListedRecording, metadata: RecordingMetadata | None, id_in_source: str = "") -> bool:
        """Return whether a recording is on the list, as far as its listing and metadata show.

        Args:
            recording: the recording.
            metadata: its metadata, None if there is none.
            id_in_source: its id without the name of its source, if the run has several.
        """
        ids = dict.fromkeys((recording.recording, id_in_source or recording.recording))
        values = [*(("id", name) for name in ids), ("sha256", recording.content.removeprefix(SHA256_PREFIX))]
        if metadata is not None:
            values += [("id", metadata.number), ("recordist", metadata.recordist)]
        found = [(kind, value) for kind, value in values if value in self._values[kind]]
        self._found.update(found)
        return bool(found)

    def notes(self) -> list[str]:
        """Return how the file was decoded if that is a guess, and the entries that `covers` has found no recording for.

        Checksums are left out: the checksums of remote files and of decoded audio are compared later.
        """
        absent = sorted(
            value for kind in ("id", "recordist") for value in self._values[kind] if (kind, value) not in self._found
        )
        if not absent:
            return self._notes
        return [*self._notes, f"{len(absent)} entries of corpus.take_down match no recording, for example {absent[0]}"]


def read_take_down_list(settings: SourceSettings) -> TakeDownList:
    """Return the take-down list that the settings name, or an empty one."""
    return TakeDownList.read(Path(settings.take_down).expanduser()) if settings.take_down else TakeDownList()


def exclusion_reason(has_species: bool, metadata: RecordingMetadata | None, settings: SourceSettings) -> str:
    """Return why the label or the licence of a recording excludes it; "" if neither does.

    Args:
        has_species: whether the label is a species, or boxes label the recording, so that its own label does not matter.
        metadata: its metadata, None if there is none.
        settings: allowed licences.
    """
    if not has_species:
        return NO_SPECIES
    if not allowed(metadata.licence if metadata else "", settings.licences.train):
        return LICENCE_REFUSED
    return ""
