"""Format detections for the programs that people use in the field: Raven, Audacity, Kaleidoscope and readers of BirdNET's tables.

Sources of the columns:
- Raven: https://www.ravensoundsoftware.com/knowledge-base/ and the Raven Pro user's manual. A selection table is text separated by
  tabs; `Begin Time (s)` counts from the start of the first of all files that are open, `File Offset (s)` from that of each file.
- Audacity: https://manual.audacityteam.org/man/importing_and_exporting_labels.html (start, end and text, separated by tabs).
- Kaleidoscope: the tables `id.csv` and `cluster.csv` of Wildlife Acoustics' Kaleidoscope Pro; an asterisk marks columns that can be
  edited.
- BirdNET-Analyzer: `CSV_HEADER` in its `birdnet_analyzer/analyze/utils.py`.
"""

import datetime as dt
from pathlib import Path, PurePosixPath

from autobird.core.files import csv_text
from autobird.predict.columns import DetectionTable, decimal
from autobird.predict.files import FileResult

RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)", "Begin Path",
    "File Offset (s)", "Begin File", "Species", "Score", "Unknown Score",
)  # fmt: skip

KALEIDOSCOPE_COLUMNS = (
    "INDIR", "FOLDER", "IN FILE", "CHANNEL", "OFFSET", "DURATION", "Fmin", "Fmean", "Fmax", "DATE", "TIME", "HOUR", "DATE-12", "TIME-12",
    "HOUR-12", "AUTO ID*", "MANUAL ID*", "SCORE",
)  # fmt: skip
"""`DATE-12`, `TIME-12` and `HOUR-12` are 12 hours earlier, so that a night has one date. `SCORE` is a column of Autobird."""

BIRDNET_COLUMNS = ("Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File")


class Band:
    """Lower and upper limit of what the model hears (`Bundle.frequencies`), Hz: detections have no frequencies of their own."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = f"{low:g}", f"{high:g}"


class RavenFormat:
    """A Raven selection table of one or several recordings.

    With several recordings, `Begin Time (s)` counts from the start of the first one, as if all were opened as one sequence in the
    order of the table, without the files that were skipped.

    Args:
        table: the columns; only the codes are used.
        band: limits of the frequencies.
        with_folders: whether `Begin Path` is the path from the root, so that Raven finds the recording; else it is the name alone.
    """

    end = ""

    def __init__(self, table: DetectionTable, band: Band, with_folders: bool = True) -> None:
        self._table, self._band, self._with_folders = table, band, with_folders
        self._selections, self._elapsed = 0, 0.0
        self.start = _tab_line([*RAVEN_COLUMNS, *(["Species Code"] if table.codes else [])])

    def text(self, result: FileResult, is_first: bool = False) -> str:  # noqa: ARG002 - see `formats.OutputFormat`
        """See `formats.OutputFormat`."""
        path = _absolute(result.file) if self._with_folders else _name(result.file)
        lines = []
        for d in result.detections:
            self._selections += 1
            code = [self._table.codes.of(d.species).code] if self._table.codes else []
            lines.append(
                _tab_line(
                    [
                        str(self._selections),
                        "Spectrogram 1",
                        "1",
                        decimal(self._elapsed + d.start),
                        decimal(self._elapsed + d.end),
                        self._band.low,
                        self._band.high,
                        path,
                        decimal(d.start),
                        _name(result.file),
                        d.species,
                        f"{d.probability:.4f}",
                        "" if d.unknown_score is None else f"{d.unknown_score:.4f}",
                        *code,
                    ]
                )
            )
        self._elapsed += result.duration
        return "".join(lines)


class AudacityFormat:
    """Audacity labels of one recording: start and end in seconds, and the species."""

    start, end = "", ""

    def text(self, result: FileResult, is_first: bool = False) -> str:  # noqa: ARG002 - see `formats.OutputFormat`
        """See `formats.OutputFormat`."""
        return "".join(_tab_line([f"{d.start:.6f}", f"{d.end:.6f}", d.species]) for d in result.detections)


class KaleidoscopeFormat:
    """A CSV table as Kaleidoscope writes and opens it; `MANUAL ID*` is left empty for the reviewer.

    Args:
        table: how time is determined.
        band: limits of the frequencies.
    """

    start, end = csv_text([list(KALEIDOSCOPE_COLUMNS)]), ""

    def __init__(self, table: DetectionTable, band: Band) -> None:
        self._table, self._band = table, band

    def text(self, result: FileResult, is_first: bool = False) -> str:  # noqa: ARG002 - see `formats.OutputFormat`
        """See `formats.OutputFormat`."""
        place = self._table.places.of(result.origin)
        below = PurePosixPath(result.origin.path or _name(result.file)).parent
        indir = Path(result.file).absolute().parents[len(below.parts)]
        folder = "" if below == PurePosixPath() else str(Path(*below.parts))
        rows = []
        for d in result.detections:
            at = place.at(d.start)
            times = [*_date_and_time(at), *_date_and_time(at - dt.timedelta(hours=12) if at else None)]
            band = [self._band.low, "", self._band.high]
            where = [str(indir), folder, _name(result.file), "0", decimal(d.start), decimal(d.end - d.start)]
            rows.append([*where, *band, *times, d.species, "", f"{d.probability:.4f}"])
        return csv_text(rows)


class BirdnetFormat:
    """CSV with the columns of BirdNET-Analyzer; without codes, the label stands for the scientific and the common name.

    Args:
        table: the codes, which also have names.
    """

    start, end = csv_text([list(BIRDNET_COLUMNS)]), ""

    def __init__(self, table: DetectionTable) -> None:
        self._table = table

    def text(self, result: FileResult, is_first: bool = False) -> str:  # noqa: ARG002 - see `formats.OutputFormat`
        """See `formats.OutputFormat`."""
        rows = []
        for d in result.detections:
            name = self._table.codes.of(d.species) if self._table.codes else None
            scientific, common = (name.scientific or d.species, name.common or d.species) if name else (d.species,) * 2
            rows.append(
                [
                    decimal(d.start),
                    decimal(d.end),
                    scientific,
                    common,
                    f"{d.probability:.4f}",
                    _absolute(result.file),
                ]
            )
        return csv_text(rows)


def _absolute(file: str) -> str:
    """Return the path of a file from the root, so that other programs find it."""
    return str(Path(file).absolute())


def _name(file: str) -> str:
    """Return the name of a file without its folders."""
    return Path(file).name


def _date_and_time(at: dt.datetime | None) -> list[str]:
    return [at.strftime("%Y-%m-%d"), at.strftime("%H:%M:%S"), at.strftime("%H")] if at else ["", "", ""]


def _tab_line(cells: list[str]) -> str:
    """Return a line of a table separated by tabs, which has no way to write tabs and line ends within a cell."""
    return (
        "\t".join(" ".join(cell.split()) if "\t" in cell or "\n" in cell or "\r" in cell else cell for cell in cells)
        + "\n"
    )
