"""Annotated recordings as a source: boxes from Raven selection tables, Audacity label tracks or CSV tables."""

from pathlib import Path, PurePosixPath

from autobird.core.errors import AutobirdError
from autobird.sources.annotation_reader import AnnotationReader, problem_notes
from autobird.sources.base import ANNOTATED, NOT_AUDIO, Box, ListedRecording, RecordingMetadata, Source
from autobird.sources.folder import FolderSource
from autobird.sources.settings import AnnotationSettings, ColumnSettings

_TABLE_EXTENSIONS = (".txt", ".tsv", ".csv")
"""Extensions of annotation tables. Every other file is a recording."""

_NOT_ANNOTATED = "not annotated; add its annotation table or remove the recording"


class AnnotationSource(Source):
    """Audio files at any depth below `root`, labelled by an annotation table for each file, or by one table for all.

    Args:
        root: folder of the recordings.
        cache: file of the checksum cache.
        metadata: path of the metadata table below the root, `auto` or `none`.
        columns: names of its columns.
        settings: format and path of the annotation tables.

    Raises:
        AutobirdError: `root` is not a folder, or a table cannot be read.
    """

    def __init__(
        self, root: Path, cache: Path, metadata: str, columns: ColumnSettings, settings: AnnotationSettings
    ) -> None:
        self._folder = FolderSource(root, cache, metadata, columns)
        self.name = self._folder.name
        self._settings = settings
        files = self._folder.files()
        recordings = [f for f in files if not _is_table(f.recording)]
        common_table = self._find_common_table()
        reader = AnnotationReader(
            self._folder.root,
            [r.recording for r in recordings if not r.problem.startswith(NOT_AUDIO)],
            settings,
            tables_match_names=common_table is None,
        )
        if common_table is not None:
            reader.read(common_table.name, common_table)
        else:
            for table in (f.recording for f in files if _is_table(f.recording)):
                reader.read(table, self._folder.root / table)
        self._boxes = reader.boxes()
        self._notes = [*problem_notes(self._boxes), *reader.notes()]
        self._recordings = [
            r._replace(
                kind=ANNOTATED,
                problem=r.problem or ("" if r.recording in reader.annotated else _NOT_ANNOTATED),
            )
            for r in recordings
        ]

    def recordings(self) -> list[ListedRecording]:
        """Return every file that is not a table. Its species is "", because boxes label its windows."""
        return self._recordings

    def metadata(self) -> list[RecordingMetadata]:
        """Return the rows of the metadata table."""
        return self._folder.metadata()

    def boxes(self) -> list[Box]:
        """Return the boxes of all tables, including those that are not used."""
        return self._boxes

    def notes(self) -> list[str]:
        """Return how many boxes are not used, and which tables or rows could not be assigned to a recording."""
        return [*self._folder.notes(), *self._notes]

    def _find_common_table(self) -> Path | None:
        """Return the table that annotates all recordings; None if each recording has its own."""
        if self._settings.table is None:
            return None
        for path in (self._folder.root / self._settings.table, Path(self._settings.table).expanduser()):
            if path.is_file():
                return path
        raise AutobirdError(f"corpus.annotations.table: {self._settings.table} is not a file; give its path")


def _is_table(file: str) -> bool:
    return PurePosixPath(file).suffix.lower() in _TABLE_EXTENSIONS
