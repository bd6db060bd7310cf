"""The synthesiser: the same bytes for the same seed, real formats, and a truth that fits the sound."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from autobird.audio.decode import decode, decode_into
from autobird.audio.landmarks import Landmarks
from autobird.core.files import csv_text
from autobird.synth import synthesise
from autobird.synth.encode import encode, with_serial
from autobird.synth.plan import plan_corpus, plan_species
from autobird.synth.scene import render

PLANS = plan_corpus(7, 10, 60)


def test_the_default_corpus_is_as_varied_as_promised() -> None:
    assert len(PLANS) == 600
    assert len({p.id for p in PLANS}) == 600
    assert {p.format for p in PLANS} == {"mp3", "ogg", "flac", "wav"}
    assert {p.sample_rate for p in PLANS} >= {16000, 48000}
    assert {p.channels for p in PLANS} == {1, 2}
    seconds = np.array([p.duration for p in PLANS])
    assert ((seconds >= 4) & (seconds <= 15)).mean() > 0.9
    assert ((seconds >= 30) & (seconds <= 60)).sum() >= 10
    assert all(p.recordist and p.date and p.place and p.licence for p in PLANS)


def test_more_recordings_leave_the_first_ones_as_they_are() -> None:
    assert plan_species(7, 3, 20) == plan_species(7, 3, 50)[:20]


def test_a_session_shares_recordist_day_and_place() -> None:
    sessions: dict[tuple[int, int], set[tuple[str, str, str]]] = {}
    for p in PLANS:
        sessions.setdefault((p.species, p.session), set()).add((p.recordist, p.date, p.place))
    assert all(len(s) == 1 for s in sessions.values())


def test_every_format_is_the_same_bytes_each_time_and_can_be_decoded() -> None:
    for fmt in ("mp3", "ogg", "flac", "wav"):
        plan = next(p for p in PLANS if p.format == fmt and p.duration < 8)
        first, second = (encode(render(plan)[0], plan.sample_rate, fmt) for _ in range(2))
        assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
        facts = decode_into(io.BytesIO(first), Landmarks).properties
        assert facts.sample_rate == plan.sample_rate
        assert facts.channels == plan.channels
        assert abs(facts.duration - plan.duration) < 0.1


def test_an_ogg_stream_under_another_serial_is_a_valid_stream() -> None:
    x = np.sin(np.arange(32000) / 5).astype(np.float32)[:, None] / 2
    data = encode(x, 16000, "ogg")
    again = with_serial(data, 12345)
    assert data != again
    a, b = (soundfile.read(io.BytesIO(d))[0] for d in (data, again))
    np.testing.assert_array_equal(a, b)


def test_the_truth_tells_when_the_bird_sings() -> None:
    louder = 0
    plans = [p for p in PLANS if p.duration < 10][:12]
    for plan in plans:
        samples, events = render(plan)
        assert events
        assert all(0 <= e.onset < e.offset <= plan.duration for e in events)
        assert all(0 < e.low <= e.high <= 8000 for e in events)
        sung = np.zeros(len(samples), bool)
        for e in events:
            sung[round(e.onset * plan.sample_rate) : round(e.offset * plan.sample_rate)] = True
        energy = samples[:, 0].astype(np.float64) ** 2
        louder += energy[sung].mean() > energy[~sung].mean()
    assert louder >= 10


def test_a_batch_is_a_tar_of_the_same_bytes_each_time(tmp_path: Path) -> None:
    plans = sorted((p for p in plan_corpus(7, 2, 3)), key=lambda p: p.id)[:3]
    rows = tmp_path / "rows.csv"
    rows.write_text(
        csv_text([["recording", "species", "content", "problem"], *([p.id, p.name, "", ""] for p in plans)])
    )
    for name in ("a", "b"):
        synthesise.main(
            ["--settings", '{"species": 2, "recordings": 3, "seed": 7}', "--manifest", str(rows), "--log", str(tmp_path / "log"),
             "--audio", str(tmp_path / f"{name}.tar"), "--truth", str(tmp_path / f"{name}.csv")]
        )  # fmt: skip
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == [p.id for p in plans]
        member = tar.extractfile(plans[0].id)
        assert len(decode(member, 16000)) > 16000
    assert set(pd.read_csv(tmp_path / "a.csv")["recording"]) == {p.id for p in plans}
