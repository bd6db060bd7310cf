"""What every source offers: a list of recordings, what people know about them, and boxes where there are any."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

GROUPING = ("recordist", "date", "place", "split")
"""Columns from which groups and splits are made; correcting one of them deals the splits anew."""

DETAILS = (
    "number", "page", "time", "latitude", "longitude", "licence", "quality", "background", "extra",
)  # fmt: skip
"""Columns that only the catalogue and what reads licences need; correcting one of them retrains nothing."""


NO_LABEL, NO_NAME = "no label", "no species"
"""Why a box names no species: somebody marked a sound there, but did not say whose."""


class ListedRecording(NamedTuple):
    """A recording as its source lists it.

    Attributes:
        recording: its id, a path with `/`.
        species: its label, "" if unknown or if boxes label its windows.
        content: what stands for its bytes: `sha256:...` of the file, the recipe of a synthesised one, or what a
            server tells of it.
        problem: why it cannot be used though nobody has listened to it, or "".
        size: bytes of its file, as far as known; what jobs ask for follows from it, never what they compute.
        location: where its file lies, if that is not its id: a path relative to the root, or a URL.
        start: where it begins in that file, seconds; "" for the beginning.
        end: where it ends, seconds; "" for the end.
    """

    recording: str
    species: str
    content: str
    problem: str = ""
    size: int = 0
    location: str = ""
    start: str = ""
    end: str = ""


class RecordingMetadata(NamedTuple):
    """What people know about a recording; "" where unknown. `extra` is JSON of all that has no column of its own."""

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
    extra: str = ""


class Box(NamedTuple):
    """A song that somebody marked in a recording: seconds, and the species; `problem` says why it does not count."""

    recording: str
    start: float
    end: float
    species: str
    problem: str = ""


class Source(ABC):
    """A place that recordings come from. All lists are sorted by recording; nothing here uses the network."""

    name: str
    """What the source is called in messages: `corpus.root: /my birds`."""

    @abstractmethod
    def recordings(self) -> Iterable[ListedRecording]:
        """All recordings, usable or not."""

    @abstractmethod
    def metadata(self) -> Iterable[RecordingMetadata]:
        """What people know about the recordings."""

    def boxes(self) -> list[Box] | None:
        """Boxes of annotated recordings; None where a recording has one label."""
        return None

    def notes(self) -> list[str]:
        """What a person should know about the listing: what was passed over, and why."""
        return []
