"""Which species have too few windows or recordings to be trained."""

import pandas as pd

from autobird.core.wording import counted
from autobird.dataset.settings import DatasetSettings

UNITS = ("windows", "recordings")
"""What a species can have too few of. The settings `min_windows` and `min_recordings` are the minimum numbers."""


def count_species(index: pd.DataFrame) -> pd.DataFrame:
    """Return the number of windows that are not quiet, and of their recordings, of each species that is present in one.

    Args:
        index: columns recording, present, quiet, windows (number of windows of a row).

    Returns:
        columns `UNITS`, indexed by species, sorted.
    """
    rows = index.loc[~index["quiet"], ["recording", "present", "windows"]].explode("present").dropna()
    of_species = rows.groupby("present")
    return pd.DataFrame({"windows": of_species["windows"].sum(), "recordings": of_species["recording"].nunique()})


def rare_reason(minimum: int, unit: str) -> str:
    """Return the reason for which the windows of a rare species are dropped; `unit`: what it has too few of."""
    return f"species with fewer than {minimum} {unit}"


def rare_species(counts: pd.DataFrame, settings: DatasetSettings) -> dict[str, str]:
    """Return the unit, of `UNITS`, of which each rare species has fewer than its minimum; the first one if both.

    Args:
        counts: result of `count_species`.
        settings: the minimum numbers.
    """
    rare: dict[str, str] = {}
    for unit in UNITS:
        for species in counts.index[counts[unit] < minimum_of(unit, settings)]:
            rare.setdefault(str(species), unit)
    return rare


def minimum_of(unit: str, settings: DatasetSettings) -> int:
    """Return the minimum number of a unit."""
    return settings.min_windows if unit == "windows" else settings.min_recordings


def rare_reasons(counts: pd.DataFrame, settings: DatasetSettings) -> dict[str, str]:
    """Return of what each rare species has too few, and the minimum: `5 windows, dataset.min_windows is 10`; sorted.

    Args:
        counts: result of `count_species`.
        settings: the minimum numbers.
    """
    return {
        species: f"{counted(int(counts.loc[species, unit]), unit[:-1])}, dataset.min_{unit} is {minimum_of(unit, settings)}"
        for species, unit in sorted(rare_species(counts, settings).items())
    }
