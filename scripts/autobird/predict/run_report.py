"""What `autobird predict` says on standard error: skipped files, progress, and notes at the end."""

import re
import sys
import time
from collections import Counter
from collections.abc import Iterable

from autobird.core.wording import counted, separate_notes
from autobird.predict.classifier import Detection
from autobird.predict.files import FileResult
from autobird.predict.formats import on_one_line
from autobird.predict.occurrence_filter import left_out_text

_SECONDS = 5.0
"""Time between two lines about the progress."""

_NUMBER = re.compile(r"\d[\d.]*(?:e[+-]\d+)?")
"""The numbers in a note, for example of seconds, which differ between files with the same problem."""


class RunReport:
    """The messages about one run.

    Attributes:
        skipped: number of files that were skipped or are missing.
        taken_over: number of files whose results come from an earlier run.
    """

    def __init__(self) -> None:
        self.skipped = self.taken_over = 0
        self._start = self._reported = time.monotonic()
        self._answered, self._audio = 0, 0.0
        self._left_out: Counter[str] = Counter()
        """Number of detections that `--min-occurrence` left out, by species."""
        self._notes: dict[str, tuple[int, tuple[str, str]]] = {}
        """Number of files with a note, and the first of them by name with its note, by the text of the note without its numbers."""

    def result(self, result: FileResult) -> None:
        """Say why a file was skipped, and count each of its notes."""
        if result.error:
            self.skipped += 1
            print(f"{on_one_line(result.file)}: skipped: {result.error}", file=sys.stderr)
        for note in separate_notes(result.note):
            kind = _NUMBER.sub("0", note)
            example = on_one_line(result.file), note
            count, first = self._notes.get(kind, (0, example))
            self._notes[kind] = count + 1, min(first, example)

    def classified(self, result: FileResult) -> None:
        """Report a file that this run has classified."""
        self._answered += 1
        self._audio += result.duration
        self.result(result)

    def left_out(self, detections: Iterable[Detection]) -> None:
        """Count detections that `--min-occurrence` left out."""
        self._left_out.update(detection.species for detection in detections)

    def progress(self, total: int) -> None:
        """Say from time to time how many of `total` files are classified."""
        now = time.monotonic()
        if now - self._reported > _SECONDS:
            self._reported, remaining = now, (now - self._start) / self._answered * (total - self._answered)
            print(f"{self._answered} of {total} files, about {remaining:.0f} s remaining", file=sys.stderr, flush=True)

    def end(self, total: int) -> None:
        """Say what was done with all `total` files."""
        elapsed, audio = time.monotonic() - self._start, self._audio
        rate = f"{audio / 60:.1f} min of audio in {elapsed:.1f} s ({audio / max(elapsed, 1e-9):.0f} times real time)"
        earlier = f"; {self.taken_over} answered before" if self.taken_over else ""
        lost = f"; {self.skipped} skipped" if self.skipped else ""
        print(f"{counted(total, 'file')}, {rate}{earlier}{lost}", file=sys.stderr)
        if self._left_out:
            print(f"note: --min-occurrence {left_out_text(self._left_out)}", file=sys.stderr)
        for count, (file, note) in sorted(self._notes.values(), key=lambda found: (-found[0], found[1])):
            files = f"{file} was" if count == 1 else f"{count} files were"
            like = "" if count == 1 else f" like that of {file}"
            print(f"note: {files} classified with a note{like}: {note}", file=sys.stderr)
