"""Read a bundle: a folder with the network, its settings and calibration, and the checksums of all files."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from autobird.audio.settings import FeatureSettings
from autobird.backbone.base import BackboneInfo
from autobird.backbone.known import BIRDNET, BIRDNET_FMAX
from autobird.core.errors import AutobirdError
from autobird.core.hashing import file_digest
from autobird.predict.bundle_files import DESCRIPTION, GRAPH, MANIFEST
from autobird.predict.classification import OUTPUTS, Calibration
from autobird.predict.unknown import UnknownScore

FORMAT = 3
"""Version of the bundle format that is written. Version 1 had no backbone; versions 1 and 2 had softmax outputs and a temperature."""

READABLE_FORMATS = (1, 2, 3)
"""Versions that can be read; bundles of other versions are rejected."""

REMEDY = "copy the bundle again or recreate it"
"""What users can do about an incomplete or damaged bundle; the end of several errors."""


@dataclass(frozen=True)
class Bundle:
    """The content of `bundle.json`.

    Attributes:
        folder: folder of the bundle.
        name: name of the run that made the bundle.
        variant: variant of the model, for example `int8`.
        fingerprint: first 16 hexadecimal digits of the sha256 of the graph.
        labels: species in the order of the logits.
        features: settings of windows, front end and quiet filters.
        calibration: how probabilities and detections are computed from the logits.
        unknown: the score of windows that hold none of the species; None: the bundle has none (formats 1 and 2).
        precision_thresholds: thresholds for wanted precisions, chosen on validation: for each precision an array of shape (species,), NaN
            for species that do not reach it; empty for bundles of formats 1 and 2.
        backbone: the pretrained network whose embeddings are the input of the graph, which the bundle does not contain; None: the
            input are mel frames.
    """

    folder: Path
    name: str
    variant: str
    fingerprint: str
    labels: tuple[str, ...]
    features: FeatureSettings
    calibration: Calibration
    backbone: BackboneInfo | None = None
    unknown: UnknownScore | None = None
    precision_thresholds: Mapping[float, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """Smallest probability at which a species is detected in a window; shape (species,)."""
        return self.calibration.thresholds

    @property
    def backbone_windows_per_second(self) -> float:
        """Number of windows that the backbone computes for a second of audio, at most; 0 without a backbone."""
        if self.backbone is None:
            return 0.0
        longer = self.features.window - self.backbone.window
        return (1 + max(0, math.ceil(longer / self.backbone.window))) / self.features.hop

    @property
    def frequencies(self) -> tuple[float, float]:
        """Lower and upper limit of what the model hears, Hz: of its mel bands, or of its backbone's input."""
        if self.backbone is None:
            return self.features.fmin, self.features.fmax
        half = self.backbone.sample_rate / 2
        return 0.0, min(half, BIRDNET_FMAX) if self.backbone.name == BIRDNET else half

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Check the files of a bundle and read `bundle.json`.

        Raises:
            AutobirdError: the folder is not a bundle, is damaged, or has another format.
        """
        file = folder / DESCRIPTION
        if not (folder / MANIFEST).is_file():
            raise AutobirdError(
                f"{folder} is not a bundle (it has no {MANIFEST}); snakemake writes one to results/<run>/release/bundle"
            )
        verify_files(folder)
        try:
            text = json.loads(file.read_text(encoding="utf-8"))
            if text["format"] not in READABLE_FORMATS:
                raise AutobirdError(
                    f"{file} has format {text['format']}, but this version of Autobird reads the formats "
                    f"{', '.join(map(str, READABLE_FORMATS))}; recreate the bundle, or update Autobird"
                )
            backbone = text["backbone"] if text["format"] > 1 else None
            unknown = text.get("unknown_score")
            return cls(
                folder=folder,
                name=text["name"],
                variant=text["variant"],
                fingerprint=text["fingerprint"],
                labels=tuple(text["labels"]),
                features=FeatureSettings.model_validate(text["features"]),
                calibration=calibration_of(text),
                backbone=None if backbone is None else BackboneInfo.model_validate(backbone),
                unknown=None if unknown is None else UnknownScore.from_json(unknown),
                precision_thresholds={
                    float(precision): np.array(values, np.float64)  # null becomes NaN
                    for precision, values in text.get("precision_thresholds", {}).items()
                },
            )
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            raise AutobirdError(f"{file} is damaged ({error!r}); recreate the bundle") from error


def calibration_of(description: dict[str, Any]) -> Calibration:
    """Return the calibration of the network of a bundle from the content of `bundle.json`, of any readable format.

    Raises:
        KeyError: an entry is missing.
        TypeError: an entry has another type.
        ValueError: an entry has another value, or the numbers of species differ.
    """
    thresholds, aggregation = np.array(description["thresholds"], np.float64), description["aggregation"]
    if description["format"] < 3:
        return Calibration.softmax(float(description["temperature"]), thresholds, aggregation)
    if description["outputs"] not in OUTPUTS:
        raise ValueError(f"outputs is {description['outputs']!r}")
    scale, offset = (np.array(description[key], np.float64) for key in ("scale", "offset"))
    if not len(description["labels"]) == len(thresholds) == len(scale) == len(offset):
        raise ValueError("labels, thresholds, scale and offset have different lengths")
    smoothing = float(description.get("smoothing", 0))  # bundles of earlier versions have none
    if not 0 <= smoothing <= 1 / 3:
        raise ValueError(f"smoothing is {smoothing}")
    return Calibration(description["outputs"], scale, offset, thresholds, aggregation, smoothing)


def bundle_manifest(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a bundle except the manifest itself, by file name."""
    return {p.name: file_digest(p) or "" for p in sorted(folder.iterdir()) if p.name != MANIFEST}


def verify_files(folder: Path) -> None:
    """Compare the files of a bundle with its manifest.

    Raises:
        AutobirdError: a file is missing, was changed, or is not part of the bundle.
    """
    try:
        expected = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        names = set(expected)
    except (ValueError, TypeError) as error:
        raise AutobirdError(f"{folder / MANIFEST} is damaged ({error}); {REMEDY}") from error
    actual = bundle_manifest(folder)
    for name in sorted(names | {GRAPH, DESCRIPTION}):
        if name not in actual:
            raise AutobirdError(f"{folder}: {name} is missing; {REMEDY}")
        if expected.get(name) != actual[name]:
            raise AutobirdError(f"{folder / name} was changed after the bundle was made; {REMEDY}")
    for name in sorted(set(actual) - names):
        raise AutobirdError(f"{folder / name} is not part of the bundle; move it elsewhere")
