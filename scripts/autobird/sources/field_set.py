"""The recordings of `evaluation.field` as a source: annotated, labelled, or without any of the model's species."""

import re
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.sources.base import NEGATIVE, ListedRecording, Source
from autobird.sources.folder import FolderSource
from autobird.sources.listing import Listing
from autobird.sources.select import is_downloaded, source_of
from autobird.sources.settings import SourceSettings

SETTING = "evaluation.field"

_OWN_KEYS = re.compile(r"\bcorpus\.(?=(?:root|table|metadata|columns|annotations)\b)")
"""Start of the settings in messages about a corpus that `evaluation.field` has too; it shares the others with the corpus."""


class NegativeSource(FolderSource):
    """Recordings at any depth below a folder that contain none of the model's species; their folders are not species."""

    def recordings(self) -> list[ListedRecording]:
        """Return every file below the root except the metadata table, as a negative."""
        return [recording._replace(kind=NEGATIVE) for recording in self.files()]


class FieldSet:
    """The listing of the field recordings, made when the Snakefile is parsed.

    Attributes:
        listing: batch manifests, boxes and metadata.
        root: folder of the recordings.
        notes: messages for the user.

    Args:
        settings: the recordings, in the settings of a corpus.
        negatives: whether the recordings contain none of the model's species; only `root` and the metadata are used then.
        cache: file of the checksum cache.
        synthesised: the recordings of type `demo`, which a job synthesises; they replace those of `settings`.

    Raises:
        AutobirdError: the recordings cannot be listed, would have to be downloaded, or there are none. The message names the key
            below `evaluation.field`.
    """

    def __init__(
        self, settings: SourceSettings, negatives: bool, cache: Path, synthesised: Source | None = None
    ) -> None:
        self.negatives = negatives
        try:
            self.listing = Listing(synthesised or self._source(settings, cache), settings)
        except AutobirdError as error:
            raise AutobirdError(_of_field_set(str(error))) from error
        self.notes = [f"{SETTING}: {_of_field_set(note)}" for note in self.listing.notes]
        if not self.listing.count:
            raise AutobirdError(f"{SETTING}: there are no recordings; give a folder or table that lists some")

    def _source(self, settings: SourceSettings, cache: Path) -> Source:
        if self.negatives:
            return NegativeSource(Path(settings.root or ""), cache, settings.metadata, settings.columns)
        if is_downloaded(settings):
            raise AutobirdError(
                f"{SETTING}.table: {settings.table} lists URLs; download the recordings and give their paths"
            )
        return source_of(settings, cache)


def _of_field_set(text: str) -> str:
    """Return a message about a corpus with the names of the settings and files of the field set."""
    return _OWN_KEYS.sub(f"{SETTING}.", text).replace("corpus/manifest", "field/manifest")
