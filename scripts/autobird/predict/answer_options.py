"""What users change about the detections of a bundle without changing the bundle: thresholds and species."""

from dataclasses import dataclass, replace

import numpy as np

from autobird.core.errors import AutobirdError
from autobird.predict.bundle import Bundle
from autobird.predict.overlay_path import overlay_path
from autobird.predict.threshold_overlay import read_overlay

NEVER = np.inf
"""Threshold of a species that is not reported."""


@dataclass(frozen=True)
class AnswerOptions:
    """Changes of the thresholds of a bundle. The later ones of these replace the earlier ones.

    Attributes:
        overlay: whether the thresholds in the table beside the bundle (`threshold_overlay`) count.
        precision: wanted precision: each species has the threshold with which this precision was reached on validation; species
            that do not reach it are not reported. None: not used.
        threshold: threshold of all species, 0 to 1; None: not used.
        species: labels of the species that are reported; None: all.
    """

    overlay: bool = True
    precision: float | None = None
    threshold: float | None = None
    species: tuple[str, ...] | None = None

    def apply(self, bundle: Bundle) -> Bundle:
        """Return the bundle with the changed thresholds.

        Raises:
            AutobirdError: a value is not from 0 to 1, the bundle has no thresholds for the wanted precision, or the table beside it is
                stale or damaged.
        """
        thresholds = bundle.thresholds.copy()
        if self.overlay and (changed := read_overlay(bundle)):
            for name, value in changed.items():
                thresholds[bundle.labels.index(name)] = value
        if self.precision is not None:
            thresholds = bundle.precision_thresholds[self.used_precision(bundle)]
            thresholds = np.where(np.isnan(thresholds), NEVER, thresholds)
        if self.threshold is not None:
            if not 0 <= self.threshold <= 1:
                raise AutobirdError(f"threshold {self.threshold:g} is not a probability; give a number from 0 to 1")
            thresholds = np.full(len(bundle.labels), self.threshold)
        if self.species is not None:
            thresholds = np.where(np.isin(bundle.labels, self.species), thresholds, NEVER)
        return replace(bundle, calibration=replace(bundle.calibration, thresholds=thresholds))

    def used_precision(self, bundle: Bundle) -> float:
        """Return the lowest precision for which the bundle has thresholds and that is at least the wanted one.

        Raises:
            AutobirdError: there is none.
        """
        assert self.precision is not None
        known = sorted(bundle.precision_thresholds)
        found = [value for value in known if value >= self.precision - 1e-9]
        if not 0 < self.precision < 1 or not found:
            if not known:
                reason = "this bundle, made by an earlier version, has no thresholds by precision; train it again, or use --threshold"
            else:
                reason = f"give a precision above 0, at most {known[-1]:g}"
            raise AutobirdError(f"precision {self.precision:g} is not possible: {reason}")
        return found[0]

    def notes(self, bundle: Bundle) -> list[str]:
        """Return messages for the user about the thresholds that are used."""
        notes = []
        is_replaced = self.precision is not None or self.threshold is not None
        if self.overlay and not is_replaced and (changed := read_overlay(bundle)):
            notes.append(f"thresholds of {len(changed)} species come from {overlay_path(bundle.folder)}")
        if self.precision is not None:
            used = self.used_precision(bundle)
            if used > self.precision + 1e-9:
                notes.append(f"thresholds are those for a precision of {used:g}, the next one that the bundle has")
            values = bundle.precision_thresholds[used]
            missed = [
                name
                for name, value in zip(bundle.labels, values, strict=True)
                if np.isnan(value) and (self.species is None or name in self.species)
            ]
            if missed and self.threshold is None:
                notes.append(
                    f"not reported, because a precision of {used:g} was not reached on validation recordings: {', '.join(missed)}"
                )
        return notes


AS_RELEASED = AnswerOptions(overlay=False)
"""The thresholds that the bundle itself holds."""
