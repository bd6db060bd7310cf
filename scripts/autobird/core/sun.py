"""Time of sunrise, by the equations of NOAA's solar calculator.

Source: https://gml.noaa.gov/grad/solcalc/calcdetails.html (after Jean Meeus, Astronomical Algorithms). Accuracy: about a minute between
the latitudes of 72 degrees south and north.
"""

import datetime as dt
import math

_ZENITH = 90.833
"""Angle between zenith and the centre of the sun at sunrise, degrees: refraction and the radius of the disc included."""

_J2000 = dt.datetime(2000, 1, 1, 12, tzinfo=dt.UTC)
_DAYS_IN_CENTURY = 36525.0


def sunrise(day: dt.date, latitude: float, longitude: float) -> dt.datetime | None:
    """Return the time of sunrise in UTC; None if the sun does not rise or does not set on this day.

    Args:
        day: day by local solar time.
        latitude: degrees, north positive.
        longitude: degrees, east positive.
    """
    midnight = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
    at = midnight + dt.timedelta(minutes=720 - 4 * longitude)  # local noon
    for _ in range(2):  # once with the position of the sun at noon, once with that at the sunrise found
        declination, equation = _sun(at)
        cosine = math.cos(math.radians(_ZENITH)) / (
            math.cos(math.radians(latitude)) * math.cos(declination)
        ) - math.tan(math.radians(latitude)) * math.tan(declination)
        if not -1 <= cosine <= 1:
            return None
        hour_angle = math.degrees(math.acos(cosine))
        at = midnight + dt.timedelta(minutes=720 - 4 * (longitude + hour_angle) - equation)
    return at


def _sun(at: dt.datetime) -> tuple[float, float]:
    """Return the declination of the sun in radians, and the equation of time in minutes."""
    t = (at - _J2000) / dt.timedelta(days=_DAYS_IN_CENTURY)
    mean_longitude = math.radians((280.46646 + t * (36000.76983 + t * 0.0003032)) % 360)
    anomaly = math.radians(357.52911 + t * (35999.05029 - 0.0001537 * t))
    eccentricity = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    centre = (
        math.sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t))
        + math.sin(2 * anomaly) * (0.019993 - 0.000101 * t)
        + math.sin(3 * anomaly) * 0.000289
    )
    node = math.radians(125.04 - 1934.136 * t)
    apparent = mean_longitude + math.radians(centre - 0.00569 - 0.00478 * math.sin(node))
    seconds = 21.448 - t * (46.815 + t * (0.00059 - t * 0.001813))
    obliquity = math.radians(23 + (26 + seconds / 60) / 60 + 0.00256 * math.cos(node))
    declination = math.asin(math.sin(obliquity) * math.sin(apparent))
    y = math.tan(obliquity / 2) ** 2
    equation = 4 * math.degrees(
        y * math.sin(2 * mean_longitude)
        - 2 * eccentricity * math.sin(anomaly)
        + 4 * eccentricity * y * math.sin(anomaly) * math.cos(2 * mean_longitude)
        - 0.5 * y * y * math.sin(4 * mean_longitude)
        - 1.25 * eccentricity**2 * math.sin(2 * anomaly)
    )
    return declination, equation
