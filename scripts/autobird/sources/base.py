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
annotated one, and of a reviewed one only what its boxes (`review_problem`) say is known."""

_REVIEW = {True: "review: present", False: "review: absent"}


def review_problem(present: bool, sampling: float | None) -> str:
    """Return the problem of a box that is a decision of a review.

    Args:
        present: whether the species is in the window.
        sampling: probability with which the window was chosen, 0 if it was not chosen at random; None: the problem without it.
    """
    return _REVIEW[present] if sampling is None else f"{_REVIEW[present]}, chosen with {sampling:.8g}"


def decision_of_review(problem: str) -> tuple[bool, float] | None:
    """Return `present` and `sampling` of the problem of a box (see `review_problem`); None if it is no decision of a review."""
    for present, text in _REVIEW.items():
        if problem.startswith(f"{text}, chosen with "):
            return present, float(problem.rpartition(" ")[2])
    return None


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
    """An annotated time interval of a recording, in seconds, and its species.

    `problem` says why the box is not used; "" if it is used.
    """

    recording: str
    start: float
    end: float
    species: str
    problem: str = ""


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
