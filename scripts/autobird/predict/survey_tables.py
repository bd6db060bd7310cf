"""The tables of a summary: counts with recording effort, and a detection history for occupancy models."""

from collections import defaultdict
from collections.abc import Iterator

from autobird.predict.columns import decimal
from autobird.predict.effort import Effort
from autobird.predict.survey import Count, Survey

NOT_RECORDED = "NA"
"""Value where nothing was recorded, as statistics programs read it; 0 means that the species was not detected."""


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
            f"{max(c.probability for c in cells.values()):.4f}" if cells else "",
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
