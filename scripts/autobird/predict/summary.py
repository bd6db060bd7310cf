"""The command `autobird summary`: write the tables and the figure of a survey."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, csv_text
from autobird.core.wording import counted
from autobird.predict.effort import total
from autobird.predict.survey import SummaryOptions, Survey, read_survey
from autobird.predict.survey_tables import (
    by_hour,
    count_rows,
    effort_by_day_rows,
    effort_rows,
    history_rows,
    hour_rows,
    species_rows,
    sunrise_rows,
)


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
    for line in _report(survey, options):
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


def _report(survey: Survey, options: SummaryOptions) -> Iterator[str]:
    """Yield lines about the survey, for the terminal."""
    all_, cells = total(survey.effort), survey.effort
    sites = {cell.site for cell in cells}
    days = {cell.day for cell in cells if cell.day}
    yield (
        f"{counted(all_.recordings, 'recording')} ({all_.seconds / 3600:.1f} h) of {counted(len(sites), 'site')} on "
        f"{counted(len(days), 'day')}; "
        f"{all_.silent_recordings} silent ({all_.silent_seconds / 3600:.1f} h); {all_.failed_recordings} failed"
    )
    detections = sum(c.detections for counts in survey.counts.values() for c in counts.values())
    detected = {species for counts in survey.counts.values() for species in counts}
    yield f"{counted(detections, 'detection')} of {len(detected)} species"
    if options.min_probability:
        yield f"note: {_weaker(survey, options.min_probability)}"
    unknown = [effort for cell, effort in cells.items() if not cell.day]
    if unknown:
        number = sum(e.recordings + e.silent_recordings + e.failed_recordings for e in unknown)
        yield f"note: recordings of unknown time, in no day, hour or history: {number}"
    if options.species and (without := [name for name in survey.species if name not in detected]):
        yield f"note: species of {options.species} without a detection: {', '.join(without)}"
    if survey.left_out:
        yield f"note: detected, but not in {options.species}: {', '.join(survey.left_out)}"
    if options.calendar.zone is not None and survey.without_offset:
        yield (
            f"note: --time-zone does not change the times of {counted(survey.without_offset, 'recording')}, whose offset from UTC "
            f"is unknown (see "
            "autobird predict --recorder-clock)"
        )
    if "" in sites:
        yield (
            "note: the site of some recordings is unknown; they count as one site without a name; give autobird predict the folder above "
            "the sites, or --site recorder"
        )
    if survey.sun is not None and survey.sun.without:
        yield (
            f"note: recordings without hours from sunrise: {survey.sun.without} (their offset from UTC is unknown, see autobird predict "
            "--time-zone, or the sun does not rise on their day)"
        )


def _weaker(survey: Survey, min_probability: float) -> str:
    """Return what the lowest wanted probability leaves out."""
    if survey.weaker or survey.weakest is None:
        return f"--min-probability {min_probability:g} leaves out {counted(survey.weaker, 'detection')}"
    return (
        f"--min-probability {min_probability:g} leaves out nothing: no detection of the tables is below {survey.weakest:.4g}, because "
        "autobird predict writes only what reaches the thresholds"
    )
