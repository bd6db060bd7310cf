"""Several sources as one: the ids of their recordings begin with the names of their sources."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

from autobird.audio.access import SYNTHESISED, local_location
from autobird.core.errors import AutobirdError
from autobird.sources.base import NEGATIVE, NO_FOLDER, NOT_AUDIO, Box, ListedRecording, RecordingMetadata, Source

Storage = Literal["folder", "zip", "demo", "url"]
"""Where the recordings of a source are: in a folder of this machine, in a zip file, nowhere (synthesised), or on a server."""

ZIP = "zip://"
"""Start of the location of a file in a zip file: `zip://<path>`, or `zip://<name>/<path>` if the source has a name."""


NEGATIVES_SETTING = "corpus.negatives"
"""Setting that adds a source of its own."""


class Part(NamedTuple):
    """A source that is joined with others.

    Attributes:
        name: the ids of its recordings begin with it; "" for none.
        source: the source.
        storage: where its recordings are.
        negative: whether all its recordings are negatives.
        split: split of all its recordings; "" if the metadata or a hash determine it.
        folder: the folder whose files it lists; None if it lists no folder.
    """

    name: str
    source: Source
    storage: Storage
    negative: bool = False
    split: str = ""
    folder: Path | None = None

    @property
    def title(self) -> str:
        """The source in messages: its name, and what it reads."""
        is_setting = not self.name or self.source.name.startswith(f"{NEGATIVES_SETTING}:")
        return self.source.name if is_setting else f"{self.name} ({self.source.name})"

    def id_of(self, recording: str) -> str:
        """Return the id of a recording of this source among those of all sources."""
        return f"{self.name}/{recording}" if self.name else recording

    def joined(self, recording: ListedRecording) -> ListedRecording:
        """Return a recording of this source as it is listed among those of all sources."""
        changed = recording._replace(recording=self.id_of(recording.recording), split=self.split)
        if self.name and not recording.problem:
            changed = changed._replace(location=self._location(recording))
        if self.negative and not recording.problem.startswith(NOT_AUDIO):
            problem = "" if recording.problem == NO_FOLDER else recording.problem
            location = self._location(recording) if self.name and not problem else changed.location
            changed = changed._replace(kind=NEGATIVE, species="", problem=problem, location=location)
        return changed

    def _location(self, recording: ListedRecording) -> str:
        file = recording.location or recording.recording
        match self.storage:
            case "folder":
                return local_location(self.name, file)
            case "zip":
                return f"{ZIP}{self.name}/{file.removeprefix(ZIP)}"
            case "demo":
                return f"{SYNTHESISED}{self.name}/{file}"
            case _:
                return file


class JoinedSource(Source):
    """The recordings of several sources.

    Args:
        parts: the sources.

    Raises:
        AutobirdError: two of them list the same folder, or one lists a folder inside that of another one.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self.name = parts[0].source.name if not parts[0].name else f"corpus.sources: {', '.join(p.name for p in parts)}"
        self.prefixes = frozenset(part.name for part in parts if part.name)
        _check_folders(parts)

    def recordings(self) -> Iterator[ListedRecording]:
        """Return all recordings.

        Raises:
            AutobirdError: a source holds no recordings, or two recordings have the same id.
        """
        # Each source lists its recordings before any metadata are read.
        listed = [(part, part.source.recordings()) for part in self._parts]
        return self._distinct(heapq.merge(*(_joined(*pair) for pair in listed), key=attrgetter("recording")))

    def metadata(self) -> Iterator[RecordingMetadata]:
        """Return the metadata of all sources."""
        return heapq.merge(*map(_joined_metadata, self._parts), key=attrgetter("recording"))

    def boxes(self) -> list[Box] | None:
        """Return the boxes of all sources that have some."""
        found = [(part, part.source.boxes()) for part in self._parts]
        if all(boxes is None for _, boxes in found):
            return None
        return [box._replace(recording=part.id_of(box.recording)) for part, boxes in found for box in boxes or ()]

    def notes(self) -> list[str]:
        """Return the messages of all sources."""
        return [f"{part.name}: {note}" if part.name else note for part in self._parts for note in part.source.notes()]

    def _distinct(self, recordings: Iterable[ListedRecording]) -> Iterator[ListedRecording]:
        last = ""
        for recording in recordings:
            if recording.recording == last:
                raise AutobirdError(
                    f"{self.name} and {self._parts[-1].source.name} have recordings with the id {last}; rename the folder "
                    f"{last.partition('/')[0]} of the former"
                )
            last = recording.recording
            yield recording


def _joined(part: Part, recordings: Iterable[ListedRecording]) -> Iterator[ListedRecording]:
    is_empty = True
    for recording in recordings:
        is_empty = is_empty and recording.problem.startswith(NOT_AUDIO)
        yield part.joined(recording)
    if is_empty:
        raise AutobirdError(f"{part.title} holds no recordings; correct its path, or remove the source")


def _joined_metadata(part: Part) -> Iterator[RecordingMetadata]:
    for metadata in part.source.metadata():
        yield metadata._replace(recording=part.id_of(metadata.recording))


def _check_folders(parts: Sequence[Part]) -> None:
    """Refuse sources that would list the same files."""
    folders = [(part, part.folder.expanduser().resolve()) for part in parts if part.folder is not None]
    for n, (part, folder) in enumerate(folders):
        for other, other_folder in folders[:n]:
            if folder == other_folder:
                relation = "is also the folder of"
            elif folder.is_relative_to(other_folder):
                relation = "lies in the folder of"
            elif other_folder.is_relative_to(folder):
                relation = "holds the folder of"
            else:
                continue
            remedy = "give each source a folder of its own"
            if part.negative or other.negative:
                remedy += (
                    ", because a recording cannot be a negative and of a species; in the folder of a source, species folders named as in "
                    "corpus.negative_names hold negatives already"
                )
            raise AutobirdError(f"{part.title} {relation} {other.title}; {remedy}")
