"""Summarise detections of a survey: counts with recording effort, and a detection history for occupancy models."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, csv_text
from autobird.predict.codes import SpeciesCodes
from autobird.predict.columns import decimal
from autobird.predict.effort import Calendar, Cell, Effort, SunriseHours, spread, total
from autobird.predict.output_names import files_table
from autobird.predict.tables import RecordedFile, read_detections, read_files

NOT_RECORDED = "NA"
"""Value where nothing was recorded, as statistics programs read it; 0 means that the species was not detected."""


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
    """

    output: Path
    files: tuple[Path, ...] = ()
    calendar: Calendar = field(default_factory=Calendar)
    min_probability: float = 0.0
    location: tuple[float, float] | None = None
    codes: Path | None = None


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
    codes: dict[str, str] = {}
    own = SpeciesCodes(options.codes) if options.codes else None
    for table in tables:
        for d in read_detections(table, ("site", "recorded_at")):
            if d.probability < options.min_probability:
                continue
            code = own.of(d.species).code if own else d.row.get("code", "")
            codes[d.species] = codes.get(d.species) or code
            counts[options.calendar.cell(d.place, d.start)][d.species].add(d.end - d.start, d.probability)
            if sun is not None and (hour := sun.of(d.place, d.start)) is not None:
                sun_counts[hour][d.species] += 1
    return Survey(dict(effort), dict(counts), dict(sorted(codes.items())), sun, dict(sun_counts))


def _files_of(table: Path) -> Path:
    path = files_table(table)
    if not path.is_file():
        raise AutobirdError(
            f"{table}: its table of files {path} does not exist, without which the recording effort is unknown; autobird predict writes "
            "it with --output; give it with --recordings if it has another name"
        )
    return path


def summarise(tables: Sequence[Path], options: SummaryOptions) -> int:
    """Write the summary of a survey; return 0.

    Raises:
        AutobirdError: see `read_survey`; or the folder cannot be written.
    """
    survey = read_survey(tables, options)
    writers = {
        "species.csv": species_rows(survey),
        "counts.csv": count_rows(survey),
        "species_by_hour.csv": hour_rows(survey),
        "history.csv": history_rows(survey),
        "effort.csv": effort_rows(survey),
        "effort_by_day.csv": effort_by_day_rows(survey),
    }
    if survey.sun is not None:
        writers["species_by_sunrise.csv"] = sunrise_rows(survey)
    try:
        for name, rows in writers.items():
            _write(options.output / name, rows)
        figure = _write_figure(survey, options.output / "species_by_hour.png")
    except OSError as error:
        raise AutobirdError(
            f"--output {options.output}: {error.filename or ''} cannot be written ({error.strerror or error}); name another folder"
        ) from error
    for line in _report(survey):
        print(line)
    print(f"written to {options.output}: {', '.join([*writers, *figure])}")
    return 0


def _write(path: Path, rows: Iterator[list[str]]) -> None:
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(csv_text([row]) for row in rows)


def _write_figure(survey: Survey, path: Path) -> list[str]:
    if not survey.species:
        return []
    try:
        from autobird.predict.summary_figure import plot_species_by_hour
    except ModuleNotFoundError as error:
        print(
            f"note: {path.name} needs the package {error.name}; install it: pip install {error.name}", file=sys.stderr
        )
        return []
    detections, seconds = by_hour(survey)
    plot_species_by_hour(path, list(survey.species), detections, seconds)
    return [path.name]


def _report(survey: Survey) -> Iterator[str]:
    """Yield lines about the survey, for the terminal."""
    all_, cells = total(survey.effort), survey.effort
    sites = {cell.site for cell in cells}
    days = {cell.day for cell in cells if cell.day}
    yield (
        f"{all_.recordings} recordings ({all_.seconds / 3600:.1f} h) of {len(sites)} sites on {len(days)} days; "
        f"{all_.silent_recordings} silent ({all_.silent_seconds / 3600:.1f} h); {all_.failed_recordings} failed"
    )
    detections = sum(c.detections for counts in survey.counts.values() for c in counts.values())
    yield f"{detections} detections of {len(survey.species)} species"
    unknown = [effort for cell, effort in cells.items() if not cell.day]
    if unknown:
        number = sum(e.recordings + e.silent_recordings + e.failed_recordings for e in unknown)
        yield f"note: recordings of unknown time, in no day, hour or history: {number}"
    if "" in sites:
        yield "note: the site of some recordings is unknown; they count as one site without a name"
    if survey.sun is not None and survey.sun.without:
        yield (
            f"note: recordings without hours from sunrise: {survey.sun.without} (their offset from UTC is unknown, see autobird predict "
            "--time-zone, or the sun does not rise on their day)"
        )


def species_rows(survey: Survey) -> Iterator[list[str]]:
    """Yield a row per species: its detections, and on how many sites, days and site-days it was detected."""
    yield [
        "species",
        "code",
        "detections",
        "seconds",
        "max_probability",
        "sites",
        "days",
        "site_days",
        "first_day",
        "last_day",
    ]
    for species, code in survey.species.items():
        cells = {cell: counts[species] for cell, counts in survey.counts.items() if species in counts}
        days = sorted({cell.day for cell in cells if cell.day})
        yield [
            species,
            code,
            str(sum(c.detections for c in cells.values())),
            decimal(sum(c.seconds for c in cells.values())),
            f"{max(c.probability for c in cells.values()):.4f}",
            str(len({cell.site for cell in cells})),
            str(len(days)),
            str(len({(cell.site, cell.day) for cell in cells if cell.day})),
            *((days[0], days[-1]) if days else ("", "")),
        ]


def count_rows(survey: Survey) -> Iterator[list[str]]:
    """Yield a row per cell and species, also without detections, with the effort of the cell."""
    yield ["site", "day", "hour", "species", "code", "detections", "seconds", "max_probability", "recorded_seconds"]
    for cell in sorted({**survey.effort, **survey.counts}):
        recorded = survey.effort[cell].seconds if cell in survey.effort else 0.0
        counts = survey.counts.get(cell, {})
        for species, code in survey.species.items():
            found = counts.get(species)
            if not found and not recorded:
                continue  # nothing could be detected
            values = found or Count()
            yield [
                cell.site,
                cell.day,
                _hour(cell.hour),
                species,
                code,
                str(values.detections),
                decimal(values.seconds),
                f"{values.probability:.4f}" if found else "",
                decimal(recorded),
            ]


def by_hour(survey: Survey) -> tuple[dict[str, list[int]], list[float]]:
    """Return the detections of each species and the seconds recorded, for each hour of the day."""
    detections = {species: [0] * 24 for species in survey.species}
    seconds = [0.0] * 24
    for cell, effort in survey.effort.items():
        if cell.hour >= 0:
            seconds[cell.hour] += effort.seconds
    for cell, counts in survey.counts.items():
        for species, count in counts.items():
            if cell.hour >= 0:
                detections[species][cell.hour] += count.detections
    return detections, seconds


def hour_rows(survey: Survey) -> Iterator[list[str]]:
    """Yield a row per species and hour of the day; `NA` for hours in which nothing was recorded."""
    yield ["species", "code", "hour", "detections", "recorded_seconds", "detections_per_hour"]
    detections, seconds = by_hour(survey)
    for species, code in survey.species.items():
        for hour in range(24):
            yield [species, code, str(hour), *_rate(detections[species][hour], seconds[hour])]


def sunrise_rows(survey: Survey) -> Iterator[list[str]]:
    """Yield a row per species and hour from sunrise in which something was recorded."""
    assert survey.sun is not None
    yield ["species", "code", "hours_from_sunrise", "detections", "recorded_seconds", "detections_per_hour"]
    for species, code in survey.species.items():
        for hour in sorted({*survey.sun.seconds, *survey.sun_counts}):
            found = survey.sun_counts.get(hour, {}).get(species, 0)
            yield [species, code, str(hour), *_rate(found, survey.sun.seconds.get(hour, 0.0))]


def _site_days(survey: Survey) -> tuple[list[str], list[str], dict[tuple[str, str], Effort]]:
    """Return the sites, the days with recordings, and the effort of each site on each day."""
    by_day: dict[tuple[str, str], Effort] = defaultdict(Effort)
    for cell, effort in survey.effort.items():
        if cell.day:
            by_day[cell.site, cell.day].add(effort)
    sites = sorted({cell.site for cell in survey.effort})
    return sites, sorted({day for _, day in by_day}), by_day


def history_rows(survey: Survey) -> Iterator[list[str]]:
    """Yield the detection history: a row per species and site, and a column per day on which any site recorded.

    1: detected. 0: recorded, and not detected. NA: nothing was recorded, or only silent and failed recordings.
    """
    sites, days, effort = _site_days(survey)
    detected = {(cell.site, cell.day, s) for cell, counts in survey.counts.items() for s in counts}
    yield ["species", "code", "site", *days]
    for species, code in survey.species.items():
        for site in sites:
            values = [
                "1"
                if (site, day, species) in detected
                else "0"
                if (site, day) in effort and effort[site, day].seconds
                else NOT_RECORDED
                for day in days
            ]
            yield [species, code, site, *values]


def effort_rows(survey: Survey) -> Iterator[list[str]]:
    """Yield a row per site, day and hour with any recording, failed ones included."""
    yield ["site", "day", "hour", *vars(Effort())]
    for cell, effort in sorted(survey.effort.items()):
        yield [cell.site, cell.day, _hour(cell.hour), *_effort_cells(effort)]


def effort_by_day_rows(survey: Survey) -> Iterator[list[str]]:
    """Yield a row per site and day of the history, also where nothing was recorded, for use as a covariate of detection."""
    sites, days, by_day = _site_days(survey)
    yield ["site", "day", *vars(Effort())]
    for site in sites:
        for day in days:
            yield [site, day, *_effort_cells(by_day.get((site, day), Effort()))]


def _effort_cells(effort: Effort) -> list[str]:
    return [decimal(value) if isinstance(value, float) else str(value) for value in vars(effort).values()]


def _rate(detections: int, seconds: float) -> list[str]:
    if not seconds:
        return [str(detections) if detections else NOT_RECORDED, "0", NOT_RECORDED]
    return [str(detections), decimal(seconds), f"{detections / seconds * 3600:.3f}"]


def _hour(hour: int) -> str:
    return "" if hour < 0 else str(hour)
