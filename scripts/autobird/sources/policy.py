"""Recordings that must not be used for reasons other than their audio: take-downs, licences, labels without a species."""

import csv
import re
from pathlib import Path
from typing import NamedTuple

from autobird.core.errors import AutobirdError
from autobird.sources.base import SHA256_PREFIX, ListedRecording, RecordingMetadata
from autobird.sources.licences import allowed
from autobird.sources.settings import SourceSettings

TAKEN_DOWN = "taken down (corpus.take_down)"
LICENCE_REFUSED = "its licence is not listed in corpus.licences.train; catalogue.parquet shows the licence"
NO_SPECIES = "its label is not a species (corpus.unknown_species); correct the label"


class TakeDownList(NamedTuple):
    """The take-down list: ids or XC numbers, recordists, and sha256 of files or of decoded audio."""

    ids: frozenset[str] = frozenset()
    recordists: frozenset[str] = frozenset()
    checksums: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path) -> "TakeDownList":
        """Read the list from a CSV table with the columns kind and value; a header is optional.

        Raises:
            AutobirdError: a line is not a kind and a value (the message gives its number), or the file cannot be read.
        """
        found: dict[str, set[str]] = {"id": set(), "recordist": set(), "sha256": set()}
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                for number, line in enumerate(csv.reader(file), 1):
                    cells = [cell.strip() for cell in line]
                    if not any(cells) or (number == 1 and cells[0].lower() == "kind"):
                        continue
                    kind, value = cells[0].lower(), cells[1] if len(cells) > 1 else ""
                    if kind not in found or not value:
                        raise AutobirdError(
                            f"{path}, line {number}: {','.join(line)!r} is not a kind (id, recordist, sha256) and a value"
                        )
                    if kind == "sha256" and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
                        raise AutobirdError(f"{path}, line {number}: {value!r} is not a sha256 (64 hexadecimal digits)")
                    found[kind].add(value.lower() if kind == "sha256" else value)
        except UnicodeDecodeError as error:
            raise AutobirdError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
        except OSError as error:
            raise AutobirdError(f"corpus.take_down: {path} cannot be read ({error.strerror})") from error
        return cls(frozenset(found["id"]), frozenset(found["recordist"]), frozenset(found["sha256"]))

    def covers(self, recording: ListedRecording, metadata: RecordingMetadata | None) -> bool:
        """Return whether a recording is on the list, as far as its listing and metadata show."""
        if recording.recording in self.ids or recording.content.removeprefix(SHA256_PREFIX) in self.checksums:
            return True
        return metadata is not None and (metadata.number in self.ids or metadata.recordist in self.recordists)


def read_take_down_list(settings: SourceSettings) -> TakeDownList:
    """Return the take-down list that the settings name, or an empty one."""
    return TakeDownList.read(Path(settings.take_down).expanduser()) if settings.take_down else TakeDownList()


def exclusion_reason(
    recording: ListedRecording, metadata: RecordingMetadata | None, settings: SourceSettings, annotated: bool
) -> str:
    """Return why the label or the licence of a recording excludes it; "" if neither does.

    Args:
        recording: the recording.
        metadata: its metadata, None if there is none.
        settings: unknown species and allowed licences.
        annotated: whether boxes label the recording, so that its own label does not matter.
    """
    if not annotated and recording.species in settings.unknown_species:
        return NO_SPECIES
    if not allowed(metadata.licence if metadata else "", settings.licences.train):
        return LICENCE_REFUSED
    return ""
