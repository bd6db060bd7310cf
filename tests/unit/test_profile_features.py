"""The profile of the feature stages in `tests/benchmarks` finds the functions whose time it reports."""

from pathlib import Path

import numpy as np
import soundfile

from tests.benchmarks.profile_features import PARTS, profiled


def test_every_part_of_the_profile_has_a_time(tmp_path: Path) -> None:
    """The parts are found by the names of files and functions. A renamed function would have no time."""
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", 0.1 * rng.standard_normal((6 * 22050, 2)), 22050)
    soundfile.write(tmp_path / "b.flac", 0.1 * rng.standard_normal(6 * 44100), 44100)
    seconds = profiled("after", [tmp_path / "a.wav", tmp_path / "b.flac"])
    assert list(seconds) == list(PARTS)
    assert min(seconds.values()) > 0
