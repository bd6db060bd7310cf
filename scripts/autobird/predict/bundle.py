"""A bundle on disk: the graph, and everything that turns its logits into species."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from autobird.audio.settings import FeatureSettings
from autobird.core.errors import AutobirdError
from autobird.core.hashing import file_digest
from autobird.predict.answers import Calibration

FORMAT = 1
"""Version of the layout; a bundle of another one is refused."""

GRAPH, DESCRIPTION, MANIFEST = "model.onnx", "bundle.json", "manifest.json"
"""The graph, what turns its logits into answers, and the sha256 of every other file."""

FILES = (
    GRAPH,
    DESCRIPTION,
    "drift_reference.json",
    "MODEL_CARD.md",
    "ATTRIBUTION.csv",
    "provenance.json",
    "example.flac",
    "expected.json",
    MANIFEST,
)
"""What a bundle holds."""


@dataclass(frozen=True)
class Bundle:
    """What a bundle says about itself.

    Attributes:
        folder: where it lies.
        name: name of the run that made it.
        variant: which variant of the model it holds, for example `int8`.
        fingerprint: sha256 of the graph, 16 digits.
        labels: species in the order of the logits.
        features: front end and filters.
        aggregation: how windows become a recording: `mean` or `max` of the probabilities.
        temperature: divisor of the logits.
        thresholds: probability from which a species counts as heard; shape (species,).
    """

    folder: Path
    name: str
    variant: str
    fingerprint: str
    labels: tuple[str, ...]
    features: FeatureSettings
    aggregation: str
    temperature: float
    thresholds: NDArray[np.float64]

    @property
    def calibration(self) -> Calibration:
        """What turns the logits of the graph into answers."""
        return Calibration(self.temperature, self.thresholds, self.aggregation)

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read `bundle.json`.

        Raises:
            AutobirdError: not a bundle, damaged, or of another format.
        """
        file = folder / DESCRIPTION
        if not (folder / MANIFEST).is_file():
            raise AutobirdError(
                f"{folder} is not a bundle (it holds no {MANIFEST}); snakemake writes one to results/<run>/release/bundle"
            )
        check(folder)
        try:
            text = json.loads(file.read_text(encoding="utf-8"))
            if text["format"] != FORMAT:
                raise AutobirdError(
                    f"{file} has format {text['format']}, this Autobird reads {FORMAT}; make the bundle anew"
                )
            return cls(
                folder=folder,
                name=text["name"],
                variant=text["variant"],
                fingerprint=text["fingerprint"],
                labels=tuple(text["labels"]),
                features=FeatureSettings.model_validate(text["features"]),
                aggregation=text["aggregation"],
                temperature=float(text["temperature"]),
                thresholds=np.array(text["thresholds"], np.float64),
            )
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            raise AutobirdError(f"{file} is damaged ({error!r}); make the bundle anew") from error


def manifest(folder: Path) -> dict[str, str]:
    """sha256 of every file of a bundle but the manifest, by name."""
    return {p.name: file_digest(p) or "" for p in sorted(folder.iterdir()) if p.name != MANIFEST}


def check(folder: Path) -> None:
    """Hold a bundle against its manifest.

    Raises:
        AutobirdError: a file is missing, changed or foreign.
    """
    try:
        promised = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        wanted = set(promised)
    except (ValueError, TypeError) as error:
        raise AutobirdError(f"{folder / MANIFEST} is damaged ({error}); copy or make the bundle anew") from error
    found = manifest(folder)
    for name in sorted(wanted | {GRAPH, DESCRIPTION}):
        if name not in found:
            raise AutobirdError(f"{folder} lacks {name}; copy or make the bundle anew")
        if promised.get(name) != found[name]:
            raise AutobirdError(
                f"{folder / name} is not the file that the bundle was made with; copy or make the bundle anew"
            )
    for name in sorted(set(found) - wanted):
        raise AutobirdError(f"{folder / name} does not belong to the bundle; move it elsewhere")
