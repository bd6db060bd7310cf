"""The web app in this process, with a small bundle."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from flask.testing import FlaskClient

from autobird.core.files import write_json
from autobird.predict.bundle import bundle_manifest
from autobird.serving.app import create_app
from autobird.serving.compute.pool import InlinePool
from autobird.serving.services import Services
from autobird.serving.settings import ServeSettings
from tests.unit.test_predict import make_bundle

CARD = """# Model card: tiny

## Performance

Measured on 7 test recordings.

| metric | per recording | per window |
|---|---|---|
| macro-F1 of the most probable species | 0.222 [0.005, 0.931] | 0.233 [interval unknown: fewer than two groups] |
| AUROC (area under the ROC curve) | not defined | -0.720 [-0.800, 0.993] |

## Species

| species | test recordings | F1 |
|---|---|---|
| *Parus major* | 3 | 0.1 |
"""


def make_complete_bundle(folder: Path, thresholds: tuple[float, float] = (0.0, 1.0)) -> Path:
    """A bundle with a card, licences, authors and thresholds by precision, as `release.bundle` writes it."""
    make_bundle(folder, thresholds)
    description = json.loads((folder / "bundle.json").read_text())
    description["training_data"] = {"recordings": {"BY": 7}, "statement": "name the recordists (ATTRIBUTION.csv)"}
    description["precision_thresholds"] = {"0.5": [0.25, 0.75], "0.9": [0.5, None]}
    write_json(folder / "bundle.json", description)
    (folder / "MODEL_CARD.md").write_text(CARD)
    (folder / "ATTRIBUTION.csv").write_text("recording,recordist\na.mp3,Ann Ë\n", encoding="utf-8")
    write_json(folder / "manifest.json", bundle_manifest(folder))
    return folder


def client_of(bundle: Path, services: dict[str, Any] | None = None, **settings: Any) -> FlaskClient:
    """Return a client of the app with a pool that computes in this process."""
    return create_app(Services(InlinePool(bundle), ServeSettings(**settings), **(services or {}))).test_client()


def sound(seconds: float, rate: int = 16000, form: str = "FLAC", subtype: str | None = None) -> bytes:
    """White noise as a file."""
    file = io.BytesIO()
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()
