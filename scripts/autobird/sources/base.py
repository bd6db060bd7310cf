"""The interface of all sources: listed recordings, their metadata, and annotation boxes where the source has them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

GROUPING_COLUMNS = ("recordist", "date", "place", "split")
"""Metadata that determines groups and splits. A correction in these columns assigns recordings to splits again."""

DETAIL_COLUMNS = (
    "number", "page", "time", "latitude", "longitude", "licence", "quality", "background", "extra",
)  # fmt: skip
"""Metadata that only the catalogue and the licence report read. A correction in these columns retrains nothing."""

SHA256_PREFIX = "sha256:"
"""Prefix of a checksum, in `ListedRecording.content` and in the table of exclusions."""

DUPLICATE = "duplicate row"
"""Reason why a box is not used: another one has the same recording, times and label."""

NO_LABEL, NO_NAME = "no label", "no species"
"""Reasons why a box has no species: its label is empty, or its label is one of `corpus.unknown_species`."""

NEGATIVE_LABEL = "names no species (corpus.negative_names)"
"""Reason why a box is not used: its label says that there is no species, for example `noise`."""

NEGATIVE, ANNOTATED, REVIEWED = "negative", "annotated", "reviewed"
"""Kinds of recordings besides focal ones, whose label is one species: a negative holds no species at all, boxes label the windows of an
annotated one, and of a reviewed one only what its boxes (`Box.decision`) say is known."""

PRESENT, ABSENT = "present", "absent"
"""What a review says about the species of a box (`Box.decision`)."""

NO_FOLDER = "not inside a species folder; move it into one"
"""Problem of a focal recording beside the species folders."""

NOT_AUDIO = "not audio: "
"""Start of `ListedRecording.problem` for a file that is no audio by its extension and its content; what it is follows."""


class ListedRecording(NamedTuple):
    """A recording as its source lists it.

    Attributes:
        recording: id, a path with `/`.
        species: label; "" if unknown, if the recording holds no species, or if boxes label the windows.
        content: text that changes when the audio changes: `sha256:...` of the file, the parameters of a synthesised
            recording, or the checksum or modification time that a server reports.
        problem: why the recording cannot be used, as far as the listing shows; "" if no problem was found.
        size: bytes of the file, 0 if unknown. It sets the resources that jobs request and never changes their results.
        location: path relative to the root, or URL; "" if it is the id.
        start: start of the recording in its file, seconds; "" for the start of the file.
        end: end of the recording in its file, seconds; "" for the end of the file.
        kind: "" for a focal recording, `NEGATIVE`, `ANNOTATED` or `REVIEWED`.
        split: split of all recordings of the source, which replaces that in the metadata; "" if the source has none.
    """

    recording: str
    species: str
    content: str
    problem: str = ""
    size: int = 0
    location: str = ""
    start: str = ""
    end: str = ""
    kind: str = ""
    split: str = ""


class RecordingMetadata(NamedTuple):
    """Metadata of a recording; "" where a value is missing.

    `extra` is a JSON object of the columns not listed here. `common_name` is another name of the label; it is in `extra`, too.
    """

    recording: str
    recordist: str = ""
    date: str = ""
    place: str = ""
    split: str = ""
    number: str = ""
    page: str = ""
    time: str = ""
    latitude: str = ""
    longitude: str = ""
    licence: str = ""
    quality: str = ""
    background: str = ""
    common_name: str = ""
    extra: str = ""


class Box(NamedTuple):
    """An annotated or reviewed time interval of a recording, in seconds, and a species.

    Attributes:
        recording: its recording.
        start: its start, seconds.
        end: its end, seconds.
        species: the species.
        problem: why the box is not used; "" if it is used.
        decision: of a reviewed window, `PRESENT` or `ABSENT`; "" for an annotation, whose species is there.
        sampling_probability: probability with which a reviewed window was chosen; 0 if it was not chosen at random.
    """

    recording: str
    start: float
    end: float
    species: str
    problem: str = ""
    decision: str = ""
    sampling_probability: float = 0.0


class Source(ABC):
    """A collection of recordings. All lists are sorted by recording. No method uses the network."""

    name: str
    """Name of the source in messages, for example `corpus.root: /my birds`."""

    prefixes: frozenset[str] = frozenset()
    """Names of the sources that this one joins; the ids of their recordings are `<name>/<id in that source>`."""

    @abstractmethod
    def recordings(self) -> Iterable[ListedRecording]:
        """Return all recordings, including those that cannot be used, and the files that are no audio (`NOT_AUDIO`)."""

    @abstractmethod
    def metadata(self) -> Iterable[RecordingMetadata]:
        """Return the metadata of the recordings that have any."""

    def boxes(self) -> list[Box] | None:
        """Return the boxes of the recordings of kind `ANNOTATED` or `REVIEWED`; None if the source has no boxes."""
        return None

    def notes(self) -> list[str]:
        """Return messages for the user: how many recordings or boxes are not used, and why."""
        return []
