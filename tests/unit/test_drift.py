"""Drift: features mean what they say, false alarms come as often as promised, real shifts are found."""

import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

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
from autobird.corpus.demo.encode import encode
from autobird.corpus.demo.plan import Plan, plan_corpus
from autobird.corpus.demo.scene import render
from autobird.drift.monitor import AUDIO_FEATURES, FEATURES, Reference, compare, features, ks_distances
from autobird.drift.report import evidently_report, references, verdict
from autobird.drift.settings import DriftTestSettings
from autobird.serving import export_log
from autobird.serving.log import Entry, PredictionLog, log_state


def of_tone(level: float, hertz: float, seconds: float = 5.0, settings: MelSettings | None = None) -> dict[str, float]:
    t = np.arange(int(16000 * seconds)) / 16000
    samples = np.rint(32767 * 10 ** (level / 20) * np.sin(2 * np.pi * hertz * t)).astype(np.int16)
    settings = settings or MelSettings()
    frames, firsts = FrontEnd.of(settings).windows(samples)
    rms = np.array([np.sqrt(np.mean((samples / 32768) ** 2))])
    return features(frames, firsts, rms, np.full((len(firsts), 4), 0.25), settings)


def test_gain_moves_level_and_energy_and_nothing_of_the_bandwidth() -> None:
    loud, soft = of_tone(-6, 2000), of_tone(-18, 2000)
    assert loud["level"] - soft["level"] == pytest.approx(12, abs=0.05)
    assert loud["energy_mean"] - soft["energy_mean"] == pytest.approx(12 * np.log(10) / 10, abs=0.1)
    assert loud["bandwidth"] == soft["bandwidth"]
    assert of_tone(-6, 5000)["bandwidth"] > 4000 > of_tone(-6, 2000)["bandwidth"]


@pytest.mark.parametrize("front_end", ["magnitude", "pcen"])
def test_other_front_ends_tell_of_level_and_bandwidth_too(front_end: str) -> None:
    settings = MelSettings.model_validate({"front_end": front_end})
    loud, soft, high = (of_tone(*tone, settings=settings) for tone in ((-6, 2000), (-18, 2000), (-6, 5000)))
    assert loud["level"] - soft["level"] == pytest.approx(12, abs=0.05)
    if front_end == "magnitude":
        assert high["bandwidth"] > loud["bandwidth"]
        for name in ("energy_mean", "bandwidth"):
            assert loud[name] == pytest.approx(of_tone(-6, 2000)[name], abs=0.1)
    else:
        assert loud["energy_mean"] == pytest.approx(soft["energy_mean"], abs=0.1)
    assert all(np.isfinite(list(loud.values())))


def test_padding_does_not_count() -> None:
    samples = np.random.default_rng(0).normal(0, 3000, 5 * 16000).astype(np.int16)
    found = []
    for part in (samples, samples[: 3 * 16000]):
        frames, firsts = FrontEnd.of(MelSettings()).windows(part)
        assert len(frames) == 157
        found.append(features(frames, firsts, np.array([0.1]), np.ones((len(firsts), 1)), MelSettings()))
    assert found[0]["mel_mean"] == pytest.approx(found[1]["mel_mean"], abs=0.1)


def test_a_recording_has_the_mean_confidence_and_entropy_and_the_rms_of_its_windows() -> None:
    samples = np.random.default_rng(0).normal(0, 300, round(7.5 * 16000))
    samples[3 * 16000 : 4 * 16000] *= 30  # in both windows, whose frames count once
    frames, firsts = FrontEnd.of(MelSettings()).windows(samples.astype(np.int16))
    p = np.array([[0.7, 0.2, 0.1, 0.0], [0.1, 0.1, 0.3, 0.5]])
    found = features(frames, firsts, np.array([0.1, 0.3]), p, MelSettings())
    assert found["mel_mean"] == pytest.approx(frames.mean(), abs=0.001)
    assert found["level"] == pytest.approx(10 * np.log10((0.1**2 + 0.3**2) / 2))
    assert found["confidence"] == pytest.approx((0.7 + 0.5) / 2)
    assert found["entropy"] == pytest.approx(np.mean([entropy(row) for row in p]))


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (50, 2)).round(1), rng.normal(0.3, 1, (30, 2)).round(1)
    for f, found in enumerate(ks_distances(a, b)):
        assert found == pytest.approx(ks_2samp(a[:, f], b[:, f]).statistic)


def grouped(rng: np.random.Generator, groups: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Recordings of one to three a group that are alike, with features that depend on each other."""
    sizes = rng.integers(1, 4, groups)
    codes = np.repeat(np.arange(groups), sizes)
    centre = rng.normal(0, 1, (groups, 3))[codes]
    values = centre + 0.4 * rng.normal(0, 1, (len(codes), 3)) + shift
    values[:, 1] += values[:, 0]
    return values, codes


def test_recordings_of_the_same_kind_raise_an_alarm_as_often_as_the_alarm_rate_says() -> None:
    """In 400 trials at a rate of 5 % the share of alarms has a standard error of 1.1 %; it would be 28 % if the test took
    recordings of one group as independent."""
    rng = np.random.default_rng(1)
    alarms = 0
    for trial in range(400):
        reference, codes = grouped(rng, 90)
        current, _ = grouped(rng, 25)
        alarms += compare(Reference(("a", "b", "c"), reference, codes), current, 0.05, 100, trial).drift
    assert 0.03 < alarms / 400 < 0.075


def test_a_shift_is_found_and_named() -> None:
    rng = np.random.default_rng(2)
    reference, codes = grouped(rng, 90)
    current, _ = grouped(rng, 25)
    current[:, 2] += 2
    found = compare(Reference(("a", "b", "c"), reference, codes), current, 0.02, 200, 0)
    assert found.drift
    assert found.worst == "c"


def test_a_reference_of_one_group_calls_nothing_drift() -> None:
    for n in (1, 3):
        reference = Reference(("a",), np.zeros((n, 1)), np.zeros(n, int))
        assert not compare(reference, np.full((5, 1), 9.0), 0.02, 100, 0).drift


def tables(shift: float = 0.0) -> tuple[dict[str, Reference], pd.DataFrame]:
    rng = np.random.default_rng(3)
    n = len(FEATURES)
    known = {
        "audio": Reference(FEATURES[:6], rng.normal(0, 1, (60, 6)), np.arange(60)),
        "model": Reference(FEATURES[6:], rng.normal(0, 1, (40, 2)), np.arange(40)),
    }
    current = pd.DataFrame(rng.normal(0, 1, (30, n)), columns=list(FEATURES))
    current["level"] += shift
    return known, current


def test_the_verdict_is_one_line() -> None:
    settings = DriftTestSettings(resamples=100)
    calm, alarm = (verdict(*tables(shift), settings) for shift in (0.0, 3.0))
    assert not calm["drift"]
    assert calm["verdict"].startswith("No drift: 30 recordings are like those of the training")
    assert alarm["drift"]
    assert "strongest in level" in alarm["verdict"]
    assert "\n" not in alarm["verdict"]
    with pytest.raises(AutobirdError, match="no recordings to compare"):
        verdict(tables()[0], tables()[1].iloc[:0], settings)


def test_evidently_writes_html_and_json(tmp_path: Path) -> None:
    known, current = tables(3.0)
    evidently_report(known, current, tmp_path / "r.html", tmp_path / "r.json")
    assert "<html" in (tmp_path / "r.html").read_text(encoding="utf-8").lower()
    metrics = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["metrics"]
    found = {m["config"]["column"]: m["value"] for m in metrics if "column" in m["config"]}
    expected = {}
    for reference in known.values():
        for name, values in zip(reference.names, reference.values.T, strict=True):
            expected[name] = ks_2samp(values, current[name]).pvalue
    assert set(expected) == set(FEATURES)
    assert found == pytest.approx(expected)
    assert found["level"] < 1e-10


def test_audio_and_model_are_each_tested_at_half_the_alarm_rate() -> None:
    known, current = tables()
    settings = DriftTestSettings(resamples=200, alarm_rate=0.4)
    found = verdict(known, current, settings)
    for name, reference in known.items():
        values = current[list(reference.names)].to_numpy()
        alone = compare(reference, values, 0.2, 200, settings.seed)
        assert found["tests"][name]["threshold"] == alone.threshold
        assert alone.threshold > compare(reference, values, 0.4, 200, settings.seed).threshold


def test_the_servers_log_can_be_compared(tmp_path: Path) -> None:
    journal, states = PredictionLog(tmp_path / "log.sqlite"), set()
    for i in range(3):
        journal.append(Entry("abc", 5.0, "a" if i else None, 0.5 if i else None, dict.fromkeys(FEATURES, float(i))))
        states.add(log_state(tmp_path / "log.sqlite"))
    assert len(states) == 3  # before anything is closed or merged
    journal.close()
    export_log.main(
        ["--database", str(tmp_path / "log.sqlite"), "--output", str(tmp_path / "c.csv"), "--log", str(tmp_path / "l")]
    )
    table = pd.read_csv(tmp_path / "c.csv")
    assert table["recording"].tolist() == ["request 1", "request 2", "request 3"]
    assert table["level"].tolist() == [0, 1, 2]
    (tmp_path / "text").write_text("no database, but words")
    assert log_state(tmp_path / "text").startswith("not a log")
    with pytest.raises(AutobirdError, match="is not a log of the server"):
        export_log.main(["--database", str(tmp_path / "text"), "--output", str(tmp_path / "c.csv")])
    assert sqlite3.connect(tmp_path / "log.sqlite").execute("SELECT count(*) FROM predictions").fetchone() == (3,)


def test_references_are_read_from_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(
        '{"audio": {"features": ["level", "bandwidth"], "values": [[1, 4], [2, 5], [3, 6]], "groups": [0, 1, 1]}}'
    )
    found = references(tmp_path / "r.json")
    assert set(found) == {"audio"}
    assert found["audio"].names == ("level", "bandwidth")
    np.testing.assert_array_equal(found["audio"].values, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(found["audio"].groups, [0, 1, 1])


def heard(plans: list[Plan], change: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """Audio features of synthesised recordings after `change`; shape (recordings, features)."""
    rows = []
    for plan in plans:
        samples = change(render(plan)[0], plan.sample_rate)
        pcm = decode(io.BytesIO(encode(samples.astype(np.float32), plan.sample_rate, "flac")), 16000)
        frames, firsts = FrontEnd.of(MelSettings()).windows(pcm)
        rms = window_rms(pcm, window_starts(len(pcm), 80_000, 40_000), 80_000)
        found = features(frames, firsts, rms, np.ones((len(firsts), 1)), MelSettings())
        rows.append([found[name] for name in AUDIO_FEATURES])
    return np.array(rows)


def test_quieter_and_duller_recordings_are_drift_and_others_of_the_same_kind_are_not() -> None:
    plans = [p for p in plan_corpus(11, 6, 40) if p.duration < 7]
    known, now = plans[::2], plans[1::2][:30]
    reference = Reference(AUDIO_FEATURES, heard(known, lambda x, rate: x), np.arange(len(known)))

    def dull(x: np.ndarray, rate: int) -> np.ndarray:
        return sosfilt(butter(8, 4000, output="sos", fs=rate), x, axis=0)

    for change, drift, worst in (
        (lambda x, rate: x, False, None),
        (lambda x, rate: x * 10 ** (-12 / 20), True, "level"),
        (dull, True, None),
    ):
        found = compare(reference, heard(now, change), 0.01, 300, 0)
        assert found.drift == drift, found
        assert worst is None or found.distances[worst] > 0.3
