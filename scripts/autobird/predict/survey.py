"""Read the detections and the recording effort of a survey from tables of `autobird predict`."""

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.predict.codes import SpeciesCodes
from autobird.predict.effort import Calendar, Cell, Effort, SunriseHours, parts_by_hour, spread
from autobird.predict.origin import Place
from autobird.predict.output_names import files_table
from autobird.predict.species_names import names_in_list
from autobird.predict.tables import FoundDetection, RecordedFile, check_tables, read_detections, read_files
from autobird.sources.labels import label_key


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
        counts: detections by cell and species. A detection is counted in the cell in which it begins; its length is divided over all cells
            that it touches, so that a species that is heard across midnight is detected on both days.
        species: species with their code, sorted by name.
        sun: effort by hours from sunrise, if a location is known.
        sun_counts: detections by hours from sunrise and species.
        left_out: species with detections that the list of species does not name.
        without_offset: number of recordings whose start is known without its offset from UTC.
        weaker: number of detections below the lowest probability that the user wants.
        weakest: the lowest probability of all detections; None without any.
    """

    effort: dict[Cell, Effort]
    counts: dict[Cell, dict[str, Count]]
    species: dict[str, str]
    sun: SunriseHours | None
    sun_counts: dict[int, dict[str, int]]
    left_out: list[str] = field(default_factory=list)
    without_offset: int = 0
    weaker: int = 0
    weakest: float | None = None


def read_survey(tables: Sequence[Path], options: SummaryOptions) -> Survey:
    """Read tables of detections, and the tables of their files.

    Raises:
        AutobirdError: a table cannot be read or is not one of `autobird predict`, there is no table of files, or two tables hold the same
            recording.
    """
    check_tables(tables)
    effort: dict[Cell, Effort] = defaultdict(Effort)
    sun = SunriseHours(*options.location) if options.location else None
    recordings, without_offset = _Recordings(), 0
    for path in options.files or tuple(_files_of(table) for table in tables):
        for file in read_files(path):
            recordings.add(file, path)
            without_offset += file.place.start is not None and file.place.start.tzinfo is None
            for cell, part in spread(file, options.calendar):
                effort[cell].add(part)
            if sun is not None:
                sun.add(file)
    counts: dict[Cell, dict[str, Count]] = defaultdict(lambda: defaultdict(Count))
    sun_counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    own = SpeciesCodes(options.codes) if options.codes else None
    wanted = names_in_list(options.species) if options.species else []
    name_of = {key: name for name in wanted for key in _keys(name)}
    codes = {species: own.of(species).code if own else "" for species in wanted}
    spelling: dict[str, str] = {}
    left_out: set[str] = set()
    weaker, weakest = 0, math.inf
    for table in tables:
        for d in read_detections(table, ("site", "recorded_at")):
            recordings.check(d, table)
            weakest = min(weakest, d.probability)
            if d.probability < options.min_probability:
                weaker += 1
                continue
            species = d.species
            if wanted:
                listed = name_of.get(label_key(d.species))
                if listed is None:
                    left_out.add(d.species)
                    continue
                # As the tables write it, not the list.
                species = spelling.setdefault(listed, d.species)
                codes[species] = codes.pop(listed, codes.get(species, ""))
            code = own.of(d.species).code if own else d.row.get("code", "")
            codes[species] = codes.get(species) or code
            number = 1
            # A table of another origin can have detections without length.
            for start, length in [*parts_by_hour(options.calendar.place(d.place), d.start, d.end)] or [(d.start, 0.0)]:
                counts[options.calendar.cell(d.place, start)][species].add(length, d.probability, number)
                number = 0
            if sun is not None and (hour := sun.of(d.place, d.start)) is not None:
                sun_counts[hour][species] += 1
    survey = Survey(dict(effort), dict(counts), dict(sorted(codes.items())), sun, dict(sun_counts))
    survey.left_out, survey.without_offset = sorted(left_out), without_offset
    survey.weaker, survey.weakest = weaker, weakest if math.isfinite(weakest) else None
    return survey


class _Recordings:
    """The recordings of the tables of files: each may be there once, and each detection must belong to one."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Place], list[tuple[float, Path]]] = defaultdict(list)
        self._known: set[tuple[str, str, dt.datetime | None]] = set()

    def add(self, file: RecordedFile, path: Path) -> None:
        """Add a recording of a table of files.

        Raises:
            AutobirdError: another table, or another row, has it. Name, place and length are the same, or one of them was skipped.
        """
        same = self._found[file.file, file.place]
        for seconds, other in same:
            if seconds == file.seconds or not seconds or not file.seconds:
                where = (
                    f"{path} has {file.file} twice" if other == path else f"{other} and {path} both have {file.file}"
                )
                raise AutobirdError(f"{where}; give each recording once")
        same.append((file.seconds, path))
        self._known.add((file.file, file.place.site, file.place.start))

    def check(self, detection: FoundDetection, table: Path) -> None:
        """Check that the recording of a detection is there.

        Raises:
            AutobirdError: it is not.
        """
        if (detection.file, detection.place.site, detection.place.start) not in self._known:
            raise AutobirdError(
                f"{table}: {detection.file} is in no table of files with this site and time, so its recording effort is unknown; give the "
                "table of files that autobird predict wrote with this table (--recordings)"
            )


def _keys(name: str) -> list[str]:
    """Return the keys of a line of a list of species, which may be `Scientific name_Common name`."""
    scientific, _, common = name.partition("_")
    parts = (name, scientific, common) if scientific and common else (name,)
    return [label_key(part) for part in parts]


def _files_of(table: Path) -> Path:
    path = files_table(table)
    if not table.is_file():
        raise AutobirdError(
            f"{table} cannot be read (No such file or directory); give a table of autobird predict: CSV, JSON lines (.jsonl) or parquet"
        )
    if not path.is_file() and table.name.endswith(".files.csv"):
        raise AutobirdError(f"{table} is a table of files; give the table of detections beside it")
    if not path.is_file():
        raise AutobirdError(
            f"{table}: its table of files {path} does not exist, without which the recording effort is unknown; autobird predict writes "
            "it with --output; give it with --recordings if it has another name"
        )
    return path
