"""Rounded numbers in texts: beside a limit they stay on their side of it, and those for people have no exponent."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from autobird.audio.audio_file import UnusableAudio
from autobird.core.decimals import rounded_beside, three_digits
from autobird.predict import Classifier
from tests.unit.test_predict import make_bundle


@pytest.mark.parametrize(
    ("value", "limit", "decimals", "text"),
    [
        (0.42, 0.5, 2, "0.42"),
        (0.499, 0.5, 2, "0.499"),
        (0.4999375, 0.5, 2, "0.4999"),
        (0.501, 0.5, 2, "0.501"),
        (0.5, 0.5, 2, "0.50"),
        (50.2, 50, 0, "50.2"),
        (97.999, 98, 0, "97.999"),
        (12.3, 98, 0, "12"),
    ],
)
def test_a_number_is_rounded_to_the_fewest_decimals_that_differ_from_the_limit(
    value: float, limit: float, decimals: int, text: str
) -> None:
    assert rounded_beside(value, limit, decimals) == text


@pytest.mark.parametrize(("samples", "length"), [(7984, "0.499"), (7999, "0.4999"), (7000, "0.44")])
def test_a_recording_just_below_the_shortest_length_is_not_called_half_a_second(
    tmp_path: Path, samples: int, length: str
) -> None:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(samples), 16000, format="WAV")
    file.seek(0)
    with pytest.raises(UnusableAudio, match=rf"^{length} s of audio is too short to classify; give at least 0\.5 s$"):
        Classifier(make_bundle(tmp_path / "bundle")).predict(file)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1127.4, "1,130"),
        (999.6, "1,000"),
        (1_234_567.0, "1,230,000"),
        (521.3, "521"),
        (12.345, "12.3"),
        (3.0, "3"),
        (0.8, "0.8"),
        (0.012345, "0.0123"),
        (0.0000123, "0.0000123"),
        (0.0, "0"),
        (-1127.4, "-1,130"),
    ],
)
def test_a_number_for_people_has_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert three_digits(value) == text
