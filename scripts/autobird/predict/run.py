"""The command `autobird predict`: classify files and folders, and write the results while they arrive."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, NamedTuple

from autobird.audio.file_kind import not_audio_kind
from autobird.core.errors import AutobirdError
from autobird.core.hashing import file_digest
from autobird.core.walk import file_size, printable
from autobird.core.wording import counted
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.backbone import check_backbone
from autobird.predict.bundle import Bundle
from autobird.predict.bundle_files import MANIFEST
from autobird.predict.codes import SpeciesCodes
from autobird.predict.columns import DetectionTable
from autobird.predict.files import FileJob, FileResult, predict_files, skipped, time_per_megabyte
from autobird.predict.inputs import find_files
from autobird.predict.journal import FileState, Journal
from autobird.predict.occurrence_filter import OccurrenceFilter
from autobird.predict.options import PredictOptions
from autobird.predict.output_names import files_table, journal_path
from autobird.predict.outputs import FilesOutput, Output, new_output, text_format
from autobird.predict.run_report import RunReport


def predict_paths(bundle: Path, paths: Sequence[Path], options: PredictOptions) -> int:
    """Classify files and folders, and write the results; return 1 if files were skipped or are missing, else 0.

    Raises:
        AutobirdError: the options do not fit together, the bundle or the table of codes cannot be read, the backbone is not installed,
            there is no file, or an output is a recording or cannot be written.
    """
    options.check()
    output = options.output
    for path in options.paths.values():
        if path.is_file() and file_size(path) and not not_audio_kind(path):
            raise AutobirdError(f"--output {path} is a recording, and would be overwritten; name another file")
    # A device or a pipe cannot be replaced by a file, and has no place beside it.
    is_file = output is not None and (not options.is_exact or not output.exists() or output.is_file())
    own = (*options.paths.values(), files_table(output), journal_path(output)) if output and is_file else ()
    found, missing = _find(paths, own)
    codes = SpeciesCodes(options.codes) if options.codes else None
    loaded = Bundle.load(bundle)
    if codes is not None and (without := codes.missing(list(loaded.labels))):
        print(f"note: {options.codes} has no code for {', '.join(without)}", file=sys.stderr)
    answers = options.answers(loaded)
    answers.apply(loaded)  # refuses what does not fit the bundle, before any file is read
    for note in answers.notes(loaded):
        print(f"note: {note}", file=sys.stderr)
    table = DetectionTable(options.places, codes, options.location is not None)
    command = _Command(loaded, check_backbone(loaded, options.backbone), found, missing, options, table, answers)
    if output is None:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                # Names that the encoding cannot represent must not cost the results.
                stream.reconfigure(errors="backslashreplace")
        command.write_to(sys.stdout)
    elif is_file:
        command.write_to_files(output)
    else:
        try:
            with output.open("w", encoding="utf-8", newline="") as file:
                command.write_to(file)
        except OSError as error:
            raise AutobirdError(f"--output {output} cannot be written ({error.strerror}); name a file") from error
    return 1 if command.skipped else 0


class _File(NamedTuple):
    """A file to classify, and its path below the folder that was named."""

    path: Path
    below: str


def _find(paths: Sequence[Path], own: Sequence[Path]) -> tuple[list[_File], list[Path]]:
    """Return the files, without those that this command writes, and the paths that do not exist.

    Raises:
        AutobirdError: no path exists, or there is no file.
    """
    missing = [path for path in paths if not os.path.lexists(path)]
    found = find_files([path for path in paths if path not in missing] or paths)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    names = {path.name: path.resolve() for path in own}
    files = [
        _File(path, below)
        for path, below in zip(found.files, found.below, strict=True)
        if path.name not in names or path.resolve() != names[path.name]
    ]
    return files, missing


class _Command:
    """One run of the command."""

    def __init__(
        self,
        bundle: Bundle,
        backbone: Path | None,
        files: Sequence[_File],
        missing: Sequence[Path],
        options: PredictOptions,
        table: DetectionTable,
        answers: AnswerOptions,
    ) -> None:
        self._bundle, self._backbone, self._files, self._options, self._table = bundle, backbone, files, options, table
        self._answers = answers
        self._occurrence = OccurrenceFilter.of(bundle.labels, options.location) if options.location else None
        if self._occurrence and self._occurrence.unknown:
            names = ", ".join(self._occurrence.unknown)
            print(f"note: the location model does not know {names}; these species are not filtered", file=sys.stderr)
        self._missing = [
            skipped(printable(str(path)), "is not there; give audio files, or folders of them", is_final=False)
            for path in missing
        ]
        self._report = RunReport()

    @property
    def skipped(self) -> int:
        """Number of files that were skipped or are missing."""
        return self._report.skipped

    def _classify(self, numbers: Sequence[int]) -> Iterator[tuple[int, FileResult]]:
        """Yield the number and the result of each file in the order of completion, and report the progress."""
        o = self._options
        jobs = [
            FileJob(
                self._bundle.folder,
                self._files[n].path,
                printable(str(self._files[n].path)),
                o.max_seconds,
                o.by_window,
                self._backbone,
                self._files[n].below,
                self._answers,
            )
            for n in numbers
        ]
        workers, per_mb = min(o.workers, max(1, len(jobs))), time_per_megabyte(self._bundle)
        with closing(predict_files(jobs, workers, o.time_limit, per_mb)) as results:
            for at, result in results:
                self._report.classified(result)
                yield numbers[at], result
                self._report.progress(len(numbers))

    def _with_occurrence(self, result: FileResult, is_counted: bool = False) -> FileResult:
        """Return the result with the occurrence of each detection, without those that the user does not want.

        The journal holds results without it, so that a run that continues counts what it leaves out of them, too.

        Args:
            result: of the classifier.
            is_counted: whether to count the detections that are left out.
        """
        if self._occurrence is None:
            return result
        found, left_out = self._occurrence.apply(result, self._options.places)
        if is_counted:
            self._report.left_out(left_out)
        return found

    def write_to(self, stream: IO[str]) -> None:
        """Write the results to a stream, in the order of the files, each as soon as those before it are written."""
        only_ascii = not (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
        form = text_format(self._options.formats[0], self._bundle, self._table, only_ascii)
        waiting, following = dict[int, FileResult](), 0
        stream.write(form.start)
        for number, result in self._classify(range(len(self._files))):
            waiting[number] = self._with_occurrence(result, is_counted=True)
            while following in waiting:
                stream.write(form.text(waiting.pop(following), following == 0))
                following += 1
            stream.flush()
        for result in self._missing:
            self._report.result(result)
            stream.write(form.text(result, is_first=False))
        stream.write(form.end)
        stream.flush()
        self._report.end(len(self._files) + len(self._missing))

    def write_to_files(self, output: Path) -> None:
        """Write the results to files; a journal beside them holds those of an unfinished run, and the next run uses them.

        Tables are written while the results arrive, and sorted by file at the end.

        Raises:
            AutobirdError: a file cannot be written, or another run writes it.
        """
        with _writing(output):
            journal_path(output).parent.mkdir(parents=True, exist_ok=True)
            journal = Journal(journal_path(output), self._key(), [FileState.of(file.path) for file in self._files])
        try:
            with closing(journal):
                self._write_with_journal(output, journal)
        except KeyboardInterrupt:
            print(f"interrupted; {_kept(output)}", file=sys.stderr)
            raise

    def _outputs(self, output: Path) -> list[Output]:
        below = [file.below for file in self._files]
        outputs = [
            new_output(form, path, self._bundle, self._table, below) for form, path in self._options.paths.items()
        ]
        return [*outputs, FilesOutput(files_table(output), self._table)]

    def _write_with_journal(self, output: Path, journal: Journal) -> None:
        done = sorted(journal.done)
        self._report.taken_over = journal.taken_over
        if journal.taken_over or journal.unused:
            unused = (
                f"; {journal.unused} others are not used (another bundle, other options, changed files, or no result)"
                if journal.unused
                else ""
            )
            print(
                f"{journal.path}: results of {counted(len(done), 'file')} are taken over{unused}",
                file=sys.stderr,
                flush=True,
            )

        def read(number: int, is_counted: bool = False) -> FileResult:
            result = journal.read(number)
            # An earlier run may have been given a folder above or below that of this run.
            result = replace(result, origin=result.origin._replace(path=self._files[number].below))
            return self._with_occurrence(result, is_counted)

        for number in done:
            self._report.result(read(number, is_counted=True))
        remaining = [n for n in range(len(self._files)) if n not in journal.done]
        outputs = self._outputs(output)
        with _writing(output):
            for each in outputs:
                each.begin(lambda: ((number, read(number)) for number in done))
        for number, result in self._classify(remaining):
            with _writing(output):
                journal.append(number, result)
                final = self._with_occurrence(result, is_counted=True)
                for each in outputs:
                    each.add(number, final)
        for result in self._missing:
            self._report.result(result)

        def results() -> Iterator[FileResult]:
            yield from (read(number) for number in range(len(self._files)))
            yield from self._missing

        with _writing(output):
            for each in outputs:
                each.finish(results)
        journal.remove()
        self._report.end(len(self._files) + len(self._missing))

    def _key(self) -> str:
        """Return a text that identifies the bundle and the options that results depend on."""
        o, thresholds = self._options, self._answers.apply(self._bundle).thresholds
        return json.dumps(
            [file_digest(self._bundle.folder / MANIFEST), o.by_window, o.max_seconds, thresholds.tolist()]
        )


def _kept(output: Path) -> str:
    return f"the results so far are in {journal_path(output)}; run the same command again to continue"


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Report errors of the file system in one line.

    Raises:
        AutobirdError: an OSError occurred.
    """
    try:
        yield
    except OSError as error:
        raise AutobirdError(
            f"{error.filename or output} cannot be written ({error.strerror or error}); correct that, or name another file; "
            f"{_kept(output)}"
        ) from error
