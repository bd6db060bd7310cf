"""Frames, windows and drift features of a recording in blocks are the same as those of the whole recording at once."""

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from autobird.audio.frame_stream import FrameStream
from autobird.audio.mel import FrontEnd, window_mean_std
from autobird.audio.settings import FeatureSettings, MelSettings
from autobird.audio.windows import is_quiet, window_rms, window_starts
from autobird.core.blas import one_blas_thread
from autobird.drift.features import DRIFT_FEATURES, FrameStatistics, drift_features
from autobird.predict import Classifier, stream
from autobird.predict.graph import Graph
from autobird.predict.stream import RecordingStream, WindowsOf
from tests.unit.test_predict import make_bundle

VARIANTS = [
    {},
    {"front_end": "pcen"},
    {"front_end": "magnitude"},
    {"alignment": "window"},
    {"alignment": "window", "front_end": "pcen"},
    {"window": 1.0, "hop": 0.3},
    {"window": 0.4, "hop": 0.4, "hop_length": 500},
    {"window": 2.0, "hop": 0.01},
]


def noise(samples: int) -> NDArray[np.int16]:
    rng = np.random.default_rng(samples)
    level = np.repeat(rng.choice([0.0, 0.0001, 0.02, 0.1], samples // 8000 + 1), 8000)[:samples]
    return np.rint(32767 * np.clip(level * rng.standard_normal(samples), -1, 1)).astype(np.int16)


def divided(samples: NDArray[np.int16], seed: int) -> list[NDArray[np.int16]]:
    """The samples in blocks of random sizes, some of them empty."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, len(samples) + 1, rng.integers(0, 12)))
    return np.split(samples, cuts)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=15, deadline=None)
@given(length=st.integers(0, 200_000), seed=st.integers(0, 1000))
def test_frames_in_blocks_are_those_of_the_whole_recording(variant: dict[str, object], length: int, seed: int) -> None:
    front_end = FrontEnd.of(MelSettings.model_validate(variant))
    samples = noise(length)
    frames, firsts = front_end.windows(samples)
    streamed = FrameStream(front_end)
    found = [block for part in divided(samples, seed) for block in streamed.add(part)]
    found += streamed.finish()
    np.testing.assert_array_equal(np.concatenate([np.zeros((0, 64), np.float32), *found]), frames)
    np.testing.assert_array_equal(streamed.first_frames(0, streamed.windows), firsts)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def at_once(front_end: FrontEnd, graph: Graph, samples: NDArray[np.int16], s: FeatureSettings) -> WindowsOf:
    """The windows of a recording, computed from all its samples at once."""
    starts = window_starts(len(samples), s.window_samples, s.hop_samples)
    frames, firsts = front_end.windows(samples)
    stored, rms = frames.astype(np.float16), window_rms(samples, starts, s.window_samples)
    _, std = window_mean_std(stored, firsts, front_end.frames_per_window)
    logits = graph.logits(stored[firsts[:, None] + np.arange(front_end.frames_per_window)])
    return WindowsOf(len(samples), logits, rms, is_quiet(rms, std, s), frames, firsts, FrameStatistics(s))


@pytest.mark.parametrize("held_seconds", [0.0, 7.0, 600.0])
@pytest.mark.parametrize("variant", [{}, {"front_end": "pcen"}, {"alignment": "window"}, {"hop": 0.2}])
@pytest.mark.parametrize("length", [8000, 80_000, 80_001, 16000 * 63 + 17, 16000 * 130])
def test_windows_in_blocks_are_those_of_the_whole_recording(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, held_seconds: float, variant: dict[str, object], length: int
) -> None:
    """To the bit: levels, quiet windows and logits, wherever the blocks end and whenever classification starts."""
    monkeypatch.setattr(stream, "_HELD_SECONDS", held_seconds)
    s = FeatureSettings.model_validate(variant)
    front_end, graph, samples = FrontEnd.of(s), Graph(bundle / "model.onnx"), noise(length)
    recording = RecordingStream(front_end, graph, s, keep_frames=True)
    with one_blas_thread():  # as in `Classifier`; with several threads the last bits of the products differ
        for part in divided(samples, length):
            recording.add(part)
        assert recording.samples == length
        found, expected = recording.finish(), at_once(front_end, graph, samples, s)
    for name, value in expected._asdict().items():
        if name not in ("statistics", "seconds"):
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
    used = ~found.quiet if not found.quiet.all() else np.ones(len(found.quiet), bool)
    p = np.ones((int(used.sum()), 1))
    features = drift_features(expected.frames, expected.first_frames[used], expected.rms[used], p, s, "softmax")
    audio = found.statistics.finish()
    assert audio == {name: features[name] for name in audio}
    assert len(audio) == 5


def test_a_recording_of_the_command_and_the_api_have_the_same_values_when_it_is_long(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "long.flac"
    soundfile.write(file, noise(22050 * 150), 22050)
    whole = Classifier(bundle).predict(file)
    monkeypatch.setattr(stream, "_HELD_SECONDS", 0.0)
    streamed = Classifier(bundle).predict(file, keep_frames=False)
    assert len(streamed.frames) == 0 < len(whole.frames)
    assert streamed.drift_features == whole.drift_features
    assert list(whole.drift_features) == list(DRIFT_FEATURES)
    for name in ("starts", "probabilities", "detected", "recording", "quiet", "first_frames", "rms"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(whole, name), err_msg=name)


def test_the_memory_for_a_recording_does_not_grow_with_its_length(bundle: Path) -> None:
    """The stream holds samples and frames of some windows only."""
    s = FeatureSettings()
    recording = RecordingStream(FrontEnd.of(s), Graph(bundle / "model.onnx"), s, keep_frames=False)
    block = noise(16000 * 60)
    for _ in range(15):
        recording.add(block)
        held = recording._samples.nbytes + recording._frames.nbytes + sum(part.nbytes for part in recording._waiting)
        assert held < 2 * 610 * 16000
    assert held < 2 * 16000 * 200


def test_frames_of_the_best_kind_are_used_for_the_drift_features() -> None:
    """Audible frames of windows that are not quiet; without these other frames, as `drift_features` chooses them."""
    s = MelSettings()
    rng = np.random.default_rng(0)
    frames = rng.normal(-5, 2, (10_000, 64)).astype(np.float16)
    silent = np.full((10_000, 64), np.log(1e-6), np.float16)
    mixed = np.where(rng.random(10_000)[:, None] < 0.5, frames, silent)
    used = rng.random(10_000) < 0.3

    def found(values: NDArray[np.float16], in_used_window: NDArray[np.bool_], block: int) -> dict[str, float]:
        statistics = FrameStatistics(s)
        for at in range(0, len(values), block):
            statistics.add(values[at : at + block], in_used_window[at : at + block])
        return statistics.finish()

    none = np.zeros(10_000, bool)
    for values, mask, chosen in [
        (mixed, used, mixed[used & (mixed != silent).any(axis=1)]),
        (silent, used, silent[used]),
        (mixed, none, mixed[(mixed != silent).any(axis=1)]),
        (silent, none, silent),
    ]:
        expected = chosen.astype(np.float64)
        for block in (1 << 20, 4096, 100, 7):
            result = found(values, mask, block)
            assert result == found(values, mask, 1 << 20)
            assert result["mel_mean"] == pytest.approx(expected.mean(), abs=1e-12)
            assert result["mel_std"] == pytest.approx(expected.std(), abs=1e-9)
            energy = np.log(np.exp(expected).sum(axis=1))
            assert result["energy_mean"] == pytest.approx(energy.mean(), abs=1e-12)
            assert result["energy_std"] == pytest.approx(energy.std(), abs=1e-9)


def test_one_blas_thread_limits_every_thread() -> None:
    """threadpoolctl alone limits OpenBLAS only for the first thread that asks for it."""
    found: list[set[int]] = []

    def limited() -> None:
        with one_blas_thread():
            found.append({lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"})

    with threadpool_limits(2, user_api="blas"):
        limited()
        thread = threading.Thread(target=limited)
        thread.start()
        thread.join()
    assert found == [{1}, {1}]


def test_one_blas_thread_restores_the_number_of_threads() -> None:

    def threads() -> set[int]:
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread():
            with one_blas_thread():
                assert threads() == {1}
            assert threads() == {1}
        assert threads() == {2}
