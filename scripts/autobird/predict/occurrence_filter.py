"""How likely the species of a bundle occur where and when a recording was made: shown beside the scores, or used as a filter."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.occurrence import ALL_YEAR, OccurrenceModel, week_of
from autobird.core.errors import AutobirdError
from autobird.core.wording import counted
from autobird.dataset.backbone_labels import match_labels
from autobird.predict.classifier import Detection
from autobird.predict.files import FileResult
from autobird.predict.origin import Places


@dataclass(frozen=True)
class Location:
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


def location_of(
    latitude: float | None, longitude: float | None, week: int | None, min_occurrence: float | None
) -> Location | None:
    """Return the location that options of a command give; None if they give none.

    Raises:
        AutobirdError: an option needs another one, or `min_occurrence` is not from 0 to 1.
    """
    if latitude is None and longitude is None:
        for name, value in (("--week", week), ("--min-occurrence", min_occurrence)):
            if value is not None:
                raise AutobirdError(f"{name} {value:g} needs --latitude and --longitude")
        return None
    if latitude is None or longitude is None:
        raise AutobirdError("--latitude and --longitude belong together; give both")
    if min_occurrence is not None and not 0 <= min_occurrence <= 1:
        raise AutobirdError(f"--min-occurrence {min_occurrence:g} is not from 0 to 1; BirdNET-Analyzer uses 0.03")
    return Location(latitude, longitude, week, min_occurrence)


@dataclass(frozen=True)
class OccurrenceFilter:
    """The values of the location model for the species of a bundle.

    Attributes:
        labels: species of the bundle.
        location: where and when.
        model: the location model.
        columns: position of each label in the model, for those that it knows.
    """

    labels: tuple[str, ...]
    location: Location
    model: OccurrenceModel
    columns: dict[int, int] = field(repr=False)

    @classmethod
    def of(cls, labels: Sequence[str], location: Location) -> "OccurrenceFilter":
        """Load the location model.

        Raises:
            AutobirdError: it is not installed, or the place is not valid.
        """
        model = _model()
        model.occurrence(
            location.latitude, location.longitude, location.week_for(None)
        )  # refuses a place that is not valid
        return cls(tuple(labels), location, model, match_labels(labels, model.labels))

    @property
    def unknown(self) -> list[str]:
        """Species that the location model does not know. They have no value, and are never left out."""
        return [name for n, name in enumerate(self.labels) if n not in self.columns]

    def occurrence(self, day: dt.date | None) -> NDArray[np.float64]:
        """Return the value of each species on a day (None: unknown); NaN for those that the model does not know; shape (species,)."""
        values = self.model.occurrence(self.location.latitude, self.location.longitude, self.location.week_for(day))
        out = np.full(len(self.labels), np.nan)
        out[list(self.columns)] = values[list(self.columns.values())]
        return out

    def split(self, detections: Sequence[Detection], day: dt.date | None) -> tuple[list[Detection], list[Detection]]:
        """Return the detections that stay, with their value, and those that are left out: their species hardly occurs there and then.

        Args:
            detections: of one recording.
            day: when it was made; None: unknown.
        """
        values = dict(zip(self.labels, self.occurrence(day).tolist(), strict=True))
        minimum = self.location.min_occurrence
        kept: list[Detection] = []
        left_out: list[Detection] = []
        for detection in detections:
            value = values[detection.species]
            (left_out if minimum is not None and value < minimum else kept).append(
                replace(detection, occurrence=None if math.isnan(value) else round(value, 4))
            )
        return kept, left_out

    def apply(self, result: FileResult, places: Places) -> tuple[FileResult, list[Detection]]:
        """Return the result of a file with the value of each detection, without those that are left out; and these.

        Args:
            result: of the classifier.
            places: how the date of the recording is determined.
        """
        start = places.of(result.origin).start
        kept, left_out = self.split(result.detections, start.date() if start else None)
        names, windows = {detection.species for detection in left_out}, result.windows
        if windows is not None and names:
            windows = [replace(w, detected=[name for name in w.detected if name not in names]) for w in windows]
        return replace(result, detections=kept, windows=windows), left_out


def left_out_text(count_by_species: Counter[str]) -> str:
    """Return how many detections of which species were left out."""
    counts = ", ".join(f"{name} ({count})" for name, count in sorted(count_by_species.items()))
    return f"left out {counted(count_by_species.total(), 'detection')} of species that hardly occur there and then: {counts}"


@cache
def _model() -> OccurrenceModel:
    return OccurrenceModel.load()
