"""The demo corpus: the same bytes for the same seed, decodable files, and a ground truth that matches the audio."""

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
from autobird.synth.encode import encode, with_serial_number
from autobird.synth.plan import plan_corpus, plan_species
from autobird.synth.scene import render

PLANS = plan_corpus(7, 10, 60)


def test_the_default_corpus_has_all_formats_rates_channels_and_durations() -> None:
    assert len(PLANS) == 600
    assert len({p.id for p in PLANS}) == 600
    assert {p.format for p in PLANS} == {"mp3", "ogg", "flac", "wav"}
    assert {p.sample_rate for p in PLANS} >= {16000, 48000}
    assert {p.channels for p in PLANS} == {1, 2}
    seconds = np.array([p.duration for p in PLANS])
    assert ((seconds >= 4) & (seconds <= 15)).mean() > 0.9
    assert ((seconds >= 30) & (seconds <= 60)).sum() >= 10
    assert all(p.recordist and p.date and p.place and p.licence for p in PLANS)


def test_a_larger_number_of_recordings_does_not_change_the_first_ones() -> None:
    assert plan_species(7, 3, 20) == plan_species(7, 3, 50)[:20]


def test_the_recordings_of_a_session_share_recordist_date_and_place() -> None:
    sessions: dict[tuple[int, int], set[tuple[str, str, str]]] = {}
    for p in PLANS:
        sessions.setdefault((p.species, p.session), set()).add((p.recordist, p.date, p.place))
    assert all(len(s) == 1 for s in sessions.values())


def test_files_of_every_format_are_reproducible_and_can_be_decoded() -> None:
    for fmt in ("mp3", "ogg", "flac", "wav"):
        plan = next(p for p in PLANS if p.format == fmt and p.duration < 8)
        first, second = (encode(render(plan)[0], plan.sample_rate, fmt) for _ in range(2))
        assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
        properties = decode_into(io.BytesIO(first), Landmarks).properties
        assert properties.sample_rate == plan.sample_rate
        assert properties.channels == plan.channels
        assert abs(properties.duration - plan.duration) < 0.1


def test_an_ogg_stream_with_another_serial_number_decodes_to_the_same_samples() -> None:
    x = np.sin(np.arange(32000) / 5).astype(np.float32)[:, None] / 2
    data = encode(x, 16000, "ogg")
    changed = with_serial_number(data, 12345)
    assert data != changed
    a, b = (soundfile.read(io.BytesIO(d))[0] for d in (data, changed))
    np.testing.assert_array_equal(a, b)


def test_the_audio_is_louder_during_the_notes_of_the_ground_truth() -> None:
    louder = 0
    plans = [p for p in PLANS if p.duration < 10][:12]
    for plan in plans:
        samples, notes = render(plan)
        assert notes
        assert all(0 <= note.onset < note.offset <= plan.duration for note in notes)
        assert all(0 < note.low <= note.high <= 8000 for note in notes)
        sung = np.zeros(len(samples), bool)
        for note in notes:
            sung[round(note.onset * plan.sample_rate) : round(note.offset * plan.sample_rate)] = True
        energy = samples[:, 0].astype(np.float64) ** 2
        louder += energy[sung].mean() > energy[~sung].mean()
    assert louder >= 10


def test_the_archive_of_a_batch_is_reproducible(tmp_path: Path) -> None:
    plans = sorted((p for p in plan_corpus(7, 2, 3)), key=lambda p: p.id)[:3]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(
        csv_text([["recording", "species", "content", "problem"], *([p.id, p.name, "", ""] for p in plans)])
    )
    for name in ("a", "b"):
        synthesise.main(
            ["--settings", '{"species": 2, "recordings": 3, "seed": 7}', "--manifest", str(manifest), "--log", str(tmp_path / "log"),
             "--audio", str(tmp_path / f"{name}.tar"), "--truth", str(tmp_path / f"{name}.csv")]
        )  # fmt: skip
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == [p.id for p in plans]
        member = tar.extractfile(plans[0].id)
        assert len(decode(member, 16000)) > 16000
    assert set(pd.read_csv(tmp_path / "a.csv")["recording"]) == {p.id for p in plans}
