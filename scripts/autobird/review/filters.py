"""Which candidates are reviewed: species, sites, hours of the day, lowest probability."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.review.pool import Pool


@dataclass(frozen=True)
class PoolFilter:
    """Which items of a pool are reviewed.

    Attributes:
        species: names; () for all.
        sites: sites; () for all.
        hours: first and last hour of the local time of day, for example (4, 8) for 4:00 to 8:00; (22, 4) is a night; None: all. Windows of
            unknown time are left out with it.
        min_probability: lowest probability of an item.
    """

    species: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    hours: tuple[float, float] | None = None
    min_probability: float = 0.0

    @property
    def text(self) -> str:
        """The filter of places and times as it is written in the column `stratum`, "" without one.

        The other values are none of it: strata are of one species, and the limits of a stratum are part of its name.
        """
        parts = [f"site {', '.join(sorted(set(self.sites)))}"] if self.sites else []
        parts += [f"hours {self.hours[0]:g}-{self.hours[1]:g}"] if self.hours else []
        return f" [{'; '.join(parts)}]" if parts else ""

    def items(self, pool: Pool) -> NDArray[np.intp]:
        """Return the items that pass, as indices.

        Raises:
            AutobirdError: a species or a site is none of the pool's.
        """
        for name in self.species:
            if name not in pool.labels:
                raise AutobirdError(f"--species {name}: the bundle knows {', '.join(pool.labels)}")
        sites = {file.site for file in pool.files}
        for site in self.sites:
            if site not in sites:
                raise AutobirdError(
                    f"--only-site {site}: the recordings have the sites {', '.join(sorted(sites - {''})) or 'none'}"
                )
        windows = np.ones(len(pool.window_file), bool)
        if self.sites:
            windows &= np.array([file.site in self.sites for file in pool.files], bool)[pool.window_file]
        if self.hours is not None:
            windows &= self._in_hours(pool)
        keep = windows[pool.item_window] & (pool.item_probability >= self.min_probability)
        if self.species:
            keep &= np.isin(pool.item_species, [pool.labels.index(name) for name in self.species])
        return np.flatnonzero(keep)

    def _in_hours(self, pool: Pool) -> NDArray[np.bool_]:
        assert self.hours is not None
        first, last = self.hours
        inside = np.zeros(len(pool.window_file), bool)
        for window in range(len(inside)):
            at = pool.local_time(window)
            if at is not None:
                hour = at.hour + at.minute / 60 + at.second / 3600
                inside[window] = first <= hour < last if first <= last else hour >= first or hour < last
        return inside
