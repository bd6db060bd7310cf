"""Read the detections and the recording effort of a survey from tables of `autobird predict`."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.text import read_text
from autobird.predict.codes import SpeciesCodes
from autobird.predict.effort import Calendar, Cell, Effort, SunriseHours, spread
from autobird.predict.output_names import files_table
from autobird.predict.tables import RecordedFile, read_detections, read_files


@dataclass(frozen=True)
class SummaryOptions:
    """Options of the command.

    Attributes:
        output: folder of the tables.
        files: tables of files; empty: those beside the tables of detections.
        calendar: how times are assigned to days and hours.
        min_probability: detections of a lower probability are left out.
        location: latitude and longitude in degrees, for the hours from sunrise; None: without them.
        codes: table of species codes; None: those in the tables, if there are any.
        species: text file with a species per line: these are in the summary, also without detections, and no others; None: the species
            with detections.
    """

    output: Path
    files: tuple[Path, ...] = ()
    calendar: Calendar = field(default_factory=Calendar)
    min_probability: float = 0.0
    location: tuple[float, float] | None = None
    codes: Path | None = None
    species: Path | None = None


@dataclass
class Count:
    """Detections of a species: their number, length in seconds, and highest probability."""

    detections: int = 0
    seconds: float = 0.0
    probability: float = 0.0

    def add(self, seconds: float, probability: float, detections: int = 1) -> None:
        """Add detections."""
        self.detections += detections
        self.seconds += seconds
        self.probability = max(self.probability, probability)


@dataclass
class Survey:
    """Effort and detections of a survey.

    Attributes:
        effort: by cell.
        counts: detections by cell and species; a detection belongs to the cell in which it begins.
        species: species with their code, sorted by name.
        sun: effort by hours from sunrise, if a location is known.
        sun_counts: detections by hours from sunrise and species.
    """

    effort: dict[Cell, Effort]
    counts: dict[Cell, dict[str, Count]]
    species: dict[str, str]
    sun: SunriseHours | None
    sun_counts: dict[int, dict[str, int]]


def read_survey(tables: Sequence[Path], options: SummaryOptions) -> Survey:
    """Read tables of detections, and the tables of their files.

    Raises:
        AutobirdError: a table cannot be read or is not one of `autobird predict`, there is no table of files, or two tables hold the same
            recording.
    """
    effort: dict[Cell, Effort] = defaultdict(Effort)
    sun = SunriseHours(*options.location) if options.location else None
    seen: dict[RecordedFile, Path] = {}
    for path in options.files or tuple(dict.fromkeys(_files_of(table) for table in tables)):
        for file in read_files(path):
            if seen.setdefault(file, path) != path:
                raise AutobirdError(f"{seen[file]} and {path} both have {file.file}; give each recording once")
            for cell, part in spread(file, options.calendar):
                effort[cell].add(part)
            if sun is not None:
                sun.add(file)
    counts: dict[Cell, dict[str, Count]] = defaultdict(lambda: defaultdict(Count))
    sun_counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    own = SpeciesCodes(options.codes) if options.codes else None
    wanted = _species_of(options.species) if options.species else None
    codes = {species: own.of(species).code if own else "" for species in wanted or ()}
    for table in tables:
        for d in read_detections(table, ("site", "recorded_at")):
            if d.probability < options.min_probability or (wanted is not None and d.species not in codes):
                continue
            code = own.of(d.species).code if own else d.row.get("code", "")
            codes[d.species] = codes.get(d.species) or code
            counts[options.calendar.cell(d.place, d.start)][d.species].add(d.end - d.start, d.probability)
            if sun is not None and (hour := sun.of(d.place, d.start)) is not None:
                sun_counts[hour][d.species] += 1
    return Survey(dict(effort), dict(counts), dict(sorted(codes.items())), sun, dict(sun_counts))


def _species_of(path: Path) -> list[str]:
    try:
        text, _ = read_text(path)
    except (OSError, ValueError) as error:
        raise AutobirdError(
            f"--species {path} cannot be read ({error}); give a text file with a species per line"
        ) from error
    species = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not species:
        raise AutobirdError(f"--species {path} names no species; write one on each line")
    return species


def _files_of(table: Path) -> Path:
    path = files_table(table)
    if not path.is_file():
        raise AutobirdError(
            f"{table}: its table of files {path} does not exist, without which the recording effort is unknown; autobird predict writes "
            "it with --output; give it with --recordings if it has another name"
        )
    return path
