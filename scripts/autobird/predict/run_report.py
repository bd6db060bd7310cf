"""What `autobird predict` says on standard error: skipped files, progress, and notes at the end."""

import sys
import time
from collections import Counter
from collections.abc import Iterable

from autobird.core.wording import counted
from autobird.predict.backbone import split_note
from autobird.predict.classifier import Detection
from autobird.predict.files import FileResult
from autobird.predict.formats import on_one_line
from autobird.predict.occurrence_filter import left_out_text

_SECONDS = 5.0
"""Time between two lines about the progress."""


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
        self._notes: dict[str, tuple[int, str]] = {}
        """Number of files with a note and one of them with its note: of each note that files have in common, and of all others ("")."""

    def result(self, result: FileResult) -> None:
        """Say why a file was skipped, and count its note."""
        if result.error:
            self.skipped += 1
            print(f"{on_one_line(result.file)}: skipped: {result.error}", file=sys.stderr)
        if result.note:
            common = split_note(result.note)[1]
            count, example = self._notes.get(common, (0, f"{on_one_line(result.file)}: {result.note}"))
            self._notes[common] = count + 1, example

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

    def end(self, files: int) -> None:
        """Say what was done with all `files`."""
        elapsed, audio = time.monotonic() - self._start, self._audio
        rate = f"{audio / 60:.1f} min of audio in {elapsed:.1f} s ({audio / max(elapsed, 1e-9):.0f} times real time)"
        earlier = f"; {self.taken_over} answered before" if self.taken_over else ""
        lost = f"; {self.skipped} skipped" if self.skipped else ""
        print(f"{counted(files, 'file')}, {rate}{earlier}{lost}", file=sys.stderr)
        if self._left_out:
            print(f"note: --min-occurrence {left_out_text(self._left_out)}", file=sys.stderr)
        for count, example in self._notes.values():
            were = counted(count, "file was", "files were")
            print(f"note: {were} classified with a note, for example {example}", file=sys.stderr)
