"""Windows cover every sample; their frames, RMS and the filter of quiet windows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autobird.audio.settings import FilterSettings
from autobird.audio.windows import first_frames, frames_per_window, is_quiet, window_rms, window_starts

lengths = st.integers(1, 400_000)
steps = st.tuples(st.integers(1, 90_000), st.integers(1, 90_000)).map(lambda ab: (max(ab), min(ab)))


@given(lengths, steps)
def test_every_sample_is_in_a_window_and_only_the_last_window_is_padded(samples: int, step: tuple[int, int]) -> None:
    window, hop = step
    starts = window_starts(samples, window, hop)
    ends = starts + window
    assert starts[0] == 0
    assert (np.diff(starts) == hop).all()
    assert ends[-1] >= samples
    assert (ends[:-1] < samples).all()


def test_a_recording_without_samples_has_no_windows() -> None:
    assert len(window_starts(0, 10, 5)) == 0


def test_the_rms_ignores_padding() -> None:
    samples = np.full(1000, 16384, np.int16)
    rms = window_rms(samples, window_starts(1000, 800, 400), 800)
    np.testing.assert_allclose(rms, [0.5, 0.5])


@given(st.integers(0, 10_000_000), st.integers(1, 2000))
def test_the_first_frame_of_a_window_is_the_nearest_to_its_start(start: int, hop: int) -> None:
    frame = int(first_frames(np.array([start]), hop)[0])
    assert abs(frame * hop - start) * 2 <= hop


def test_a_window_of_five_seconds_has_157_frames() -> None:
    assert frames_per_window(80_000, 512) == 157


def test_a_window_is_quiet_if_its_level_or_its_standard_deviation_is_low() -> None:
    settings = FilterSettings(min_rms=0.01, min_mel_std=0.2)
    rms = np.array([0.009, 0.01, 0.5, 0.009], np.float32)
    std = np.array([0.3, 0.2, 0.19, 0.1])
    assert is_quiet(rms, std, settings).tolist() == [True, False, True, True]
