"""Drift features and the drift test: its false-alarm rate, and detection of real changes."""

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.signal import butter, sosfilt
from scipy.stats import entropy, ks_2samp

from autobird.audio.decode import decode
from autobird.audio.mel import FrontEnd
from autobird.audio.settings import MelSettings
from autobird.audio.windows import window_rms, window_starts
from autobird.core.errors import AutobirdError
from autobird.drift.features import AUDIO_FEATURES, DRIFT_FEATURES, drift_features
from autobird.drift.monitor import Reference, drift_test, ks_distances, read_references
from autobird.drift.report import evidently_report, summarise_drift
from autobird.drift.settings import DriftTestSettings
from autobird.synth.encode import encode
from autobird.synth.plan import plan_corpus
from autobird.synth.scene import render


def features_of_tone(
    level: float, hertz: float, seconds: float = 5.0, settings: MelSettings | None = None
) -> dict[str, float]:
    """Drift features of a sine tone with this peak level, dBFS."""
    t = np.arange(int(16000 * seconds)) / 16000
    samples = np.rint(32767 * 10 ** (level / 20) * np.sin(2 * np.pi * hertz * t)).astype(np.int16)
    settings = settings or MelSettings()
    frames, firsts = FrontEnd.of(settings).windows(samples)
    rms = np.array([np.sqrt(np.mean((samples / 32768) ** 2))])
    return drift_features(frames, firsts, rms, np.full((len(firsts), 4), 0.25), settings, "softmax")


def test_gain_changes_level_and_energy_but_not_bandwidth() -> None:
    loud, soft = features_of_tone(-6, 2000), features_of_tone(-18, 2000)
    assert loud["level"] - soft["level"] == pytest.approx(12, abs=0.05)
    assert loud["energy_mean"] - soft["energy_mean"] == pytest.approx(12 * np.log(10) / 10, abs=0.1)
    assert loud["bandwidth"] == soft["bandwidth"]
    assert features_of_tone(-6, 5000)["bandwidth"] > 4000 > loud["bandwidth"]


@pytest.mark.parametrize("front_end", ["magnitude", "pcen"])
def test_level_is_independent_of_the_front_end_and_energy_is_not_for_pcen(front_end: str) -> None:
    settings = MelSettings.model_validate({"front_end": front_end})
    loud, soft, high = (features_of_tone(*tone, settings=settings) for tone in ((-6, 2000), (-18, 2000), (-6, 5000)))
    assert loud["level"] - soft["level"] == pytest.approx(12, abs=0.05)
    if front_end == "magnitude":
        assert high["bandwidth"] > loud["bandwidth"]
        for name in ("energy_mean", "bandwidth"):
            assert loud[name] == pytest.approx(features_of_tone(-6, 2000)[name], abs=0.1)
    else:
        assert loud["energy_mean"] == pytest.approx(soft["energy_mean"], abs=0.1)
    assert all(np.isfinite(list(loud.values())))


def test_padding_is_not_used() -> None:
    samples = np.random.default_rng(0).normal(0, 3000, 5 * 16000).astype(np.int16)
    found = []
    for part in (samples, samples[: 3 * 16000]):
        frames, firsts = FrontEnd.of(MelSettings()).windows(part)
        assert len(frames) == 157
        found.append(
            drift_features(frames, firsts, np.array([0.1]), np.ones((len(firsts), 1)), MelSettings(), "softmax")
        )
    assert found[0]["mel_mean"] == pytest.approx(found[1]["mel_mean"], abs=0.1)


def test_a_recording_has_the_mean_confidence_and_entropy_and_the_rms_of_its_windows() -> None:
    samples = np.random.default_rng(0).normal(0, 300, round(7.5 * 16000))
    samples[3 * 16000 : 4 * 16000] *= 30  # in both windows, whose shared frames count once
    frames, firsts = FrontEnd.of(MelSettings()).windows(samples.astype(np.int16))
    p = np.array([[0.7, 0.2, 0.1, 0.0], [0.1, 0.1, 0.3, 0.5]])
    found = drift_features(frames, firsts, np.array([0.1, 0.3]), p, MelSettings(), "softmax")
    assert found["mel_mean"] == pytest.approx(frames.mean(), abs=0.001)
    assert found["level"] == pytest.approx(10 * np.log10((0.1**2 + 0.3**2) / 2))
    assert found["confidence"] == pytest.approx((0.7 + 0.5) / 2)
    assert found["entropy"] == pytest.approx(np.mean([entropy(row) for row in p]))


def test_the_distance_is_that_of_scipys_kolmogorov_smirnov_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (50, 2)).round(1), rng.normal(0.3, 1, (30, 2)).round(1)
    for f, distance in enumerate(ks_distances(a, b)):
        assert distance == pytest.approx(ks_2samp(a[:, f], b[:, f]).statistic)


def grouped(rng: np.random.Generator, groups: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Features, which are correlated, and groups of one to three similar recordings."""
    sizes = rng.integers(1, 4, groups)
    codes = np.repeat(np.arange(groups), sizes)
    centre = rng.normal(0, 1, (groups, 3))[codes]
    values = centre + 0.4 * rng.normal(0, 1, (len(codes), 3)) + shift
    values[:, 1] += values[:, 0]
    return values, codes


def test_the_false_alarm_rate_is_that_of_the_setting() -> None:
    """The share of alarms in 200 trials at a rate of 5 % has a standard error of 1.5 %. If the test treated the recordings of a
    group as independent, the share would be 28 %."""
    rng = np.random.default_rng(1)
    alarms = 0
    for trial in range(200):
        reference, codes = grouped(rng, 90)
        current, _ = grouped(rng, 25)
        alarms += drift_test(Reference(("a", "b", "c"), reference, codes), current, 0.05, 100, trial).drift
    assert 0.02 < alarms / 200 < 0.085


def test_a_shift_is_found_and_named() -> None:
    rng = np.random.default_rng(2)
    reference, codes = grouped(rng, 90)
    current, _ = grouped(rng, 25)
    current[:, 2] += 2
    result = drift_test(Reference(("a", "b", "c"), reference, codes), current, 0.02, 200, 0)
    assert result.drift
    assert result.worst == "c"


def test_drift_is_never_reported_with_a_reference_of_one_group() -> None:
    for n in (1, 3):
        reference = Reference(("a",), np.zeros((n, 1)), np.zeros(n, int))
        assert not drift_test(reference, np.full((5, 1), 9.0), 0.02, 100, 0).drift


def references_and_current(shift: float = 0.0) -> tuple[dict[str, Reference], pd.DataFrame]:
    """References and current recordings of the same distribution, except for a shift of the level."""
    rng = np.random.default_rng(3)
    n = len(DRIFT_FEATURES)
    references = {
        "audio": Reference(DRIFT_FEATURES[:6], rng.normal(0, 1, (60, 6)), np.arange(60)),
        "model": Reference(DRIFT_FEATURES[6:], rng.normal(0, 1, (40, 2)), np.arange(40)),
    }
    current = pd.DataFrame(rng.normal(0, 1, (30, n)), columns=list(DRIFT_FEATURES))
    current["level"] += shift
    return references, current


def test_the_summary_is_one_line_with_result_largest_difference_and_false_alarm_rate() -> None:
    settings = DriftTestSettings(resamples=100)
    similar, shifted = (summarise_drift(*references_and_current(shift), settings) for shift in (0.0, 3.0))
    assert not similar["drift"]
    assert similar["summary"].startswith("No drift detected: 30 current recordings are similar to the recordings that")
    assert shifted["drift"]
    assert shifted["summary"].startswith("Drift detected: 30 current recordings differ from the recordings that")
    assert "largest difference: level, test statistic" in shifted["summary"]
    assert shifted["summary"].endswith("; false-alarm rate 2%)")
    assert "\n" not in shifted["summary"]


@pytest.mark.parametrize(
    ("recordings", "start"),
    [
        (1, "Too few recordings to tell: with 1 current recording, drift is mostly missed"),
        (19, "Too few recordings to tell: with 19 current recordings, drift is mostly missed"),
        (20, "No drift detected: 20 current recordings are similar"),
    ],
)
def test_few_recordings_without_drift_are_not_said_to_be_similar(recordings: int, start: str) -> None:
    references, current = references_and_current()
    settings = DriftTestSettings(resamples=100)
    found = summarise_drift(references, current.iloc[:recordings], settings)
    assert not found["drift"]
    assert found["summary"].startswith(start)


def test_large_drift_of_few_recordings_is_detected() -> None:
    references, current = references_and_current(9.0)
    found = summarise_drift(references, current.iloc[:10], DriftTestSettings(resamples=100))
    assert found["summary"].startswith("Drift detected: 10 current recordings differ")


def test_features_that_never_vary_have_a_summary() -> None:
    references, current = references_and_current(0.0)
    model = references["model"]
    references["model"] = Reference(model.names, np.ones_like(model.values), model.groups)
    constant = current.assign(**dict.fromkeys(model.names, 1.0))
    found = summarise_drift(references, constant, DriftTestSettings(resamples=100))
    assert found["tests"]["model"]["threshold"] == 0
    assert "drift" in found["summary"].lower()


def test_drift_without_current_recordings_is_an_error_with_a_remedy() -> None:
    references, current = references_and_current()
    with pytest.raises(AutobirdError, match=r"no current recordings to test for drift; set drift\.current"):
        summarise_drift(references, current.iloc[:0], DriftTestSettings(resamples=100))


def test_audio_and_model_features_are_each_tested_at_half_of_the_false_alarm_rate() -> None:
    references, current = references_and_current()
    settings = DriftTestSettings(resamples=200, alarm_rate=0.4)
    tests = summarise_drift(references, current, settings)["tests"]
    for name, reference in references.items():
        values = current[list(reference.names)].to_numpy()
        half, full = (drift_test(reference, values, rate, 200, settings.seed) for rate in (0.2, 0.4))
        assert tests[name]["threshold"] == half.threshold > full.threshold


def test_evidentlys_report_has_scipys_p_value_of_each_feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evidently import Report

    references, current = references_and_current(3.0)
    snapshots: list[Any] = []
    run = Report.run
    monkeypatch.setattr(Report, "run", lambda *arguments: snapshots.append(run(*arguments)) or snapshots[-1])
    evidently_report(references, current, tmp_path / "r.html")
    metrics = json.loads(snapshots[0].json())["metrics"]
    found = {m["config"]["column"]: m["value"] for m in metrics if "column" in m["config"]}
    expected = {}
    for reference in references.values():
        for name, values in zip(reference.names, reference.values.T, strict=True):
            expected[name] = ks_2samp(values, current[name]).pvalue
    assert set(expected) == set(DRIFT_FEATURES)
    assert found == pytest.approx(expected)
    assert found["level"] < 1e-10
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<html" in text.lower()
    assert all(name in text for name in DRIFT_FEATURES)


def test_references_are_read_from_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(
        '{"audio": {"features": ["level", "bandwidth"], "values": [[1, 4], [2, 5], [3, 6]], "groups": [0, 1, 1]}}'
    )
    references = read_references(tmp_path / "r.json")
    assert set(references) == {"audio"}
    assert references["audio"].names == ("level", "bandwidth")
    np.testing.assert_array_equal(references["audio"].values, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(references["audio"].groups, [0, 1, 1])


def audio_features(
    sounds: Iterable[tuple[np.ndarray, int]], change: Callable[[np.ndarray, int], np.ndarray]
) -> np.ndarray:
    """Audio features of recordings (samples and sample rate) after `change`; shape (recordings, features)."""
    rows = []
    for samples, rate in sounds:
        pcm = decode(io.BytesIO(encode(change(samples, rate).astype(np.float32), rate, "flac")), 16000)
        frames, firsts = FrontEnd.of(MelSettings()).windows(pcm)
        rms = window_rms(pcm, window_starts(len(pcm), 80_000, 40_000), 80_000)
        found = drift_features(frames, firsts, rms, np.ones((len(firsts), 1)), MelSettings(), "softmax")
        rows.append([found[name] for name in AUDIO_FEATURES])
    return np.array(rows)


def test_drift_is_reported_for_quieter_and_low_pass_filtered_recordings_but_not_for_unchanged_ones() -> None:
    plans = [p for p in plan_corpus(11, 6, 40) if p.duration < 7]
    training = audio_features(((render(p)[0], p.sample_rate) for p in plans[::2]), lambda x, rate: x)
    current = [(render(p)[0], p.sample_rate) for p in plans[1::2][:30]]
    reference = Reference(AUDIO_FEATURES, training, np.arange(len(training)))

    def low_pass(x: np.ndarray, rate: int) -> np.ndarray:
        return sosfilt(butter(8, 4000, output="sos", fs=rate), x, axis=0)

    for change, drift, worst in (
        (lambda x, rate: x, False, None),
        (lambda x, rate: x * 10 ** (-12 / 20), True, "level"),
        (low_pass, True, None),
    ):
        result = drift_test(reference, audio_features(current, change), 0.01, 300, 0)
        assert result.drift == drift, result
        assert worst is None or result.distances[worst] > 0.3
