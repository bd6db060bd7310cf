"""Write the outputs of `autobird predict` to files while the results arrive."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from autobird.core.files import atomic, csv_text
from autobird.core.wording import counted
from autobird.predict.bundle import Bundle
from autobird.predict.columns import DetectionTable
from autobird.predict.field_formats import AudacityFormat, Band, BirdnetFormat, KaleidoscopeFormat, RavenFormat
from autobird.predict.files import FileResult
from autobird.predict.formats import (
    CsvFormat,
    JsonFormat,
    JsonLinesFormat,
    OutputFormat,
    TableFormat,
    file_rows,
    formatted,
)
from autobird.predict.output_names import FOLDERS, recording_names
from autobird.predict.own_files import OwnFiles

_NAMED = 5
"""Number of files that a message names."""


def text_format(form: str, bundle: Bundle, table: DetectionTable, only_ascii: bool = False) -> OutputFormat:
    """Return a new writer of a format that is text.

    Args:
        form: a format of `output_names.SUFFIXES` other than parquet.
        bundle: the bundle that classified the files.
        table: the columns.
        only_ascii: whether JSON escapes other characters.
    """
    band = Band(*bundle.frequencies)
    writers: dict[str, Callable[[], OutputFormat]] = {
        "csv": lambda: CsvFormat(table),
        "jsonl": lambda: JsonLinesFormat(table, only_ascii),
        "json": lambda: JsonFormat(bundle, only_ascii, table.places),
        "table": TableFormat,
        "raven": lambda: RavenFormat(table, band),
        "raven-combined": lambda: RavenFormat(table, band),
        "audacity": AudacityFormat,
        "kaleidoscope": lambda: KaleidoscopeFormat(table, band),
        "birdnet": lambda: BirdnetFormat(table),
    }
    return writers[form]()


class Output(Protocol):
    """An output that is written while the results arrive."""

    def begin(self, done: Callable[[], Iterable[tuple[int, FileResult]]]) -> None:
        """Write the results of an earlier run, numbered."""
        ...

    def add(self, number: int, result: FileResult) -> None:
        """Write the result of a file as soon as it is there."""
        ...

    def finish(self, results: Callable[[], Iterable[FileResult]]) -> None:
        """Write all results in the order of the files."""
        ...


class TextOutput:
    """One file of text. Rows are appended in the order of completion, and sorted by file at the end.

    Args:
        path: the file.
        new_format: returns a new writer of the format.
        is_streamed: whether rows are appended; a JSON document is valid only as a whole.
    """

    def __init__(self, path: Path, new_format: Callable[[], OutputFormat], is_streamed: bool) -> None:
        self._path, self._new_format, self._is_streamed = path, new_format, is_streamed
        self._format = new_format()

    def begin(self, done: Callable[[], Iterable[tuple[int, FileResult]]]) -> None:
        """See `Output`."""
        if self._is_streamed:
            with self._path.open("w", encoding="utf-8", newline="") as file:
                file.writelines(formatted(self._format, (result for _, result in done())))

    def add(self, number: int, result: FileResult) -> None:  # noqa: ARG002 - see `Output`
        """See `Output`."""
        if self._is_streamed:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                file.write(self._format.text(result, is_first=False))

    def finish(self, results: Callable[[], Iterable[FileResult]]) -> None:
        """See `Output`."""
        _write_parts(self._path, formatted(self._new_format(), results()))


class FolderOutput:
    """A folder with a file per recording that was classified, also if nothing was detected.

    Files of an earlier run are removed (`OwnFiles`), so that they are not taken for results of this one.

    Args:
        folder: the folder.
        names: path of the file of each recording.
        new_format: returns a new writer of the format.
    """

    def __init__(self, folder: Path, names: Sequence[str], new_format: Callable[[], OutputFormat]) -> None:
        self._folder, self._names, self._new_format = folder, names, new_format

    def begin(self, done: Callable[[], Iterable[tuple[int, FileResult]]]) -> None:
        """See `Output`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._files = OwnFiles(self._folder)
        if changed := self._files.clear(self._names):
            print(
                f"note: {self._folder}: {counted(len(changed), 'file')} of an earlier run not removed, because of changes since: "
                f"{', '.join(changed[:_NAMED])}{', ...' if len(changed) > _NAMED else ''}",
                file=sys.stderr,
            )
        for number, result in done():
            self.add(number, result)

    def add(self, number: int, result: FileResult) -> None:
        """See `Output`."""
        if not result.error:
            self._files.write(self._names[number], "".join(formatted(self._new_format(), [result])))

    def finish(self, results: Callable[[], Iterable[FileResult]]) -> None:  # noqa: ARG002 - see `Output`
        """See `Output`."""
        self._files.finish()


class ParquetOutput:
    """One parquet table, which is written at the end: a parquet file is valid only as a whole.

    Args:
        path: the file.
        table: the columns.
    """

    def __init__(self, path: Path, table: DetectionTable) -> None:
        self._path, self._table = path, table

    def begin(self, done: Callable[[], Iterable[tuple[int, FileResult]]]) -> None:
        """See `Output`."""

    def add(self, number: int, result: FileResult) -> None:
        """See `Output`."""

    def finish(self, results: Callable[[], Iterable[FileResult]]) -> None:
        """See `Output`."""
        from autobird.predict.parquet import write_parquet

        write_parquet(
            self._path, self._table.columns, (row for result in results() for row in self._table.rows(result))
        )


class FilesOutput:
    """The table of files, which is written at the end.

    Args:
        path: the file.
        table: how site, recorder and time are determined.
    """

    def __init__(self, path: Path, table: DetectionTable) -> None:
        self._path, self._table = path, table

    def begin(self, done: Callable[[], Iterable[tuple[int, FileResult]]]) -> None:
        """See `Output`."""

    def add(self, number: int, result: FileResult) -> None:
        """See `Output`."""

    def finish(self, results: Callable[[], Iterable[FileResult]]) -> None:
        """See `Output`."""
        _write_parts(self._path, (csv_text([row]) for row in file_rows(results(), self._table)))


def new_output(form: str, path: Path, bundle: Bundle, table: DetectionTable, below: Sequence[str]) -> Output:
    """Return the output of a format.

    Args:
        form: a format of `output_names.SUFFIXES`.
        path: its file or folder.
        bundle: the bundle that classifies the files.
        table: the columns.
        below: path of each file below the folder that was named.
    """
    if form == "parquet":
        return ParquetOutput(path, table)

    def new_format() -> OutputFormat:
        return text_format(form, bundle, table)

    if form in FOLDERS:
        return FolderOutput(path, recording_names(below, form), new_format)
    return TextOutput(path, new_format, form not in ("json", "table"))


def _write_parts(path: Path, parts: Iterator[str]) -> None:
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(parts)
