"""How likely the species of a bundle occur where and when a recording was made: shown beside the scores, or used as a filter."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.occurrence import ALL_YEAR, OccurrenceModel, week_of
from autobird.dataset.backbone_labels import match_labels

if TYPE_CHECKING:
    from autobird.predict.classifier import Detection


@dataclass(frozen=True)
class Place:
    """Where and when recordings were made.

    Attributes:
        latitude: degrees.
        longitude: degrees.
        week: 1 to 48, or `ALL_YEAR`; None: that of each recording's own date, or the whole year if the date is unknown.
        min_occurrence: detections of species with a lower value are left out; None: none are.
    """

    latitude: float
    longitude: float
    week: int | None = None
    min_occurrence: float | None = None

    def week_for(self, day: dt.date | None) -> int:
        """Return the week of a recording that was made on `day` (None: unknown)."""
        if self.week is not None:
            return self.week
        return ALL_YEAR if day is None else week_of(day)


@dataclass(frozen=True)
class OccurrenceFilter:
    """The values of the location model for the species of a bundle.

    Attributes:
        labels: species of the bundle.
        place: where and when.
        model: the location model.
        columns: position of each label in the model, for those that it knows.
    """

    labels: tuple[str, ...]
    place: Place
    model: OccurrenceModel
    columns: dict[int, int] = field(repr=False)

    @classmethod
    def of(cls, labels: Sequence[str], place: Place) -> "OccurrenceFilter":
        """Load the location model.

        Raises:
            AutobirdError: it is not installed, or the place is not valid.
        """
        model = _model()
        model.occurrence(place.latitude, place.longitude, place.week_for(None))  # refuses a place that is not valid
        return cls(tuple(labels), place, model, match_labels(labels, model.labels))

    @property
    def unknown(self) -> list[str]:
        """Species that the location model does not know. They have no value, and are never left out."""
        return [name for n, name in enumerate(self.labels) if n not in self.columns]

    def occurrence(self, day: dt.date | None) -> NDArray[np.float64]:
        """Return the value of each species on a day (None: unknown); NaN for those that the model does not know; shape (species,)."""
        values = self.model.occurrence(self.place.latitude, self.place.longitude, self.place.week_for(day))
        out = np.full(len(self.labels), np.nan)
        out[list(self.columns)] = values[list(self.columns.values())]
        return out

    def split(
        self, detections: Sequence["Detection"], day: dt.date | None
    ) -> tuple[list["Detection"], list["Detection"]]:
        """Return the detections that stay, and those that are left out because their species hardly occurs there and then."""
        values = dict(zip(self.labels, self.occurrence(day), strict=True))
        minimum = self.place.min_occurrence
        left_out = [d for d in detections if minimum is not None and values[d.species] < minimum]
        removed = set(map(id, left_out))
        return [d for d in detections if id(d) not in removed], left_out


@cache
def _model() -> OccurrenceModel:
    return OccurrenceModel.load()
