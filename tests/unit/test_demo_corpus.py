"""The demo corpus: the same bytes for the same seed, decodable files, a ground truth that matches the audio, and negatives."""

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from autobird.audio.decode import decode, decode_into
from autobird.audio.landmarks import Landmarks
from autobird.core.files import csv_text
from autobird.sources.labels import label_key
from autobird.sources.settings import NegativeNameSettings
from autobird.synth import synthesise
from autobird.synth.encode import encode, with_serial_number
from autobird.synth.field_birds import OTHER_SPECIES
from autobird.synth.folder import write_folder
from autobird.synth.grammar import FIRST_BACKGROUND_SPECIES
from autobird.synth.negative_scene import OTHER_BIRD_SPECIES, render_negative
from autobird.synth.plan import (
    NEGATIVE_SOUNDS,
    OTHER_BIRDS,
    OTHER_BIRDS_FOLDER,
    NegativePlan,
    Plan,
    plan_corpus,
    plan_negatives,
    plan_other_birds,
    plan_species,
)
from autobird.synth.scene import BACKGROUND_SPECIES, render

PLANS = plan_corpus(7, 10, 60)
NEGATIVES = plan_negatives(7, 60)
OTHERS = plan_other_birds(7, 120)

FIRST_RECORDINGS = {
    "Fictornis_alba/demo-00-0004.mp3": ("7-0-4-3-24000-1-4.003-mp3", 8, (0.04155, 0.00637, -0.10934, 0.00573)),
    "Fictornis_cantans/demo-02-0020.wav": ("7-2-20-11-16000-1-5.554-wav", 9, (-0.00771, -0.06523, -0.00919, 0.01337)),
    "Fictornis_gracilis/demo-06-0010.mp3": ("7-6-10-6-48000-1-4.264-mp3", 7, (0.02173, 0.00509, 0.00736, -0.0032)),
    "Fictornis_juncea/demo-09-0011.flac": ("7-9-11-6-44100-2-4.195-flac", 7, (-0.17529, 0.07519, -0.03418, 0.16737)),
}
"""Parameters, number of notes, and samples at 1/5 to 4/5 of recordings as the first release of the demo had them."""


def test_the_recordings_of_species_are_those_of_the_first_release() -> None:
    plans = {p.id: p for p in PLANS}
    for name, (parameters, count, values) in FIRST_RECORDINGS.items():
        assert plans[name].audio_parameters == parameters
        samples, notes = render(plans[name])
        assert len(notes) == count
        at = np.linspace(0, len(samples) - 1, 6).astype(int)[1:-1]
        # Fourier transforms differ slightly between CPUs.
        np.testing.assert_allclose(samples[at, 0], values, atol=5e-5)


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


def test_the_negatives_have_all_sounds_formats_and_lengths_like_the_recordings_of_species() -> None:
    assert len({p.id for p in NEGATIVES}) == 60
    assert NEGATIVES[0].id.startswith("noise/demo-noise-0000.")
    assert {p.sound for p in NEGATIVES} == set(NEGATIVE_SOUNDS)
    assert {p.format for p in NEGATIVES} == {"mp3", "ogg", "flac", "wav"}
    assert {p.channels for p in NEGATIVES} == {1, 2}
    assert all(8 <= p.duration <= 24 for p in NEGATIVES)
    assert all(p.recordist and p.date and p.place and p.licence for p in NEGATIVES)


def test_a_larger_number_of_negatives_does_not_change_the_first_ones() -> None:
    assert plan_negatives(7, 12) == NEGATIVES[:12]


def test_the_negatives_of_a_session_share_sound_recordist_date_and_place() -> None:
    sessions: dict[int, set[tuple[str, str, str, str]]] = {}
    for p in NEGATIVES:
        sessions.setdefault(p.session, set()).add((p.sound, p.recordist, p.date, p.place))
    assert all(len(s) == 1 for s in sessions.values())
    assert 30 < len(sessions) < 60


def test_other_birds_are_in_a_reserved_folder_in_sessions_of_their_own() -> None:
    assert plan_other_birds(7, 12) == OTHERS[:12]
    assert len({p.id for p in OTHERS}) == 120
    assert OTHERS[0].id.startswith("other/demo-other-0000.")
    assert label_key(OTHER_BIRDS_FOLDER) in {label_key(name) for name in NegativeNameSettings().negative_names}
    assert all(6 <= p.duration <= 15 and p.sound == OTHER_BIRDS for p in OTHERS)
    sessions = {(p.session, p.recordist, p.date, p.place) for p in OTHERS}
    assert 60 < len(sessions) == len({p.session for p in OTHERS}) < 120
    assert not {(p.recordist, p.date, p.place) for p in OTHERS} & {(p.recordist, p.date, p.place) for p in NEGATIVES}


def test_no_other_bird_is_of_a_species_of_the_background_or_of_the_field_recordings() -> None:
    elsewhere = FIRST_BACKGROUND_SPECIES + max(BACKGROUND_SPECIES, OTHER_SPECIES)
    # Species come in pairs that share their syllables: an even first one keeps the pairs together.
    assert OTHER_BIRD_SPECIES.start >= elsewhere
    assert OTHER_BIRD_SPECIES.start % 2 == 0


@pytest.mark.parametrize("sound", [*NEGATIVE_SOUNDS, OTHER_BIRDS])
def test_each_negative_sound_is_reproducible_and_has_no_ground_truth(sound: str) -> None:
    plan = next(p for p in [*NEGATIVES, *OTHERS] if p.sound == sound)
    samples = render_negative(plan)
    assert samples.shape == (round(plan.duration * plan.sample_rate), plan.channels)
    assert np.isfinite(samples).all()
    assert 0.1 < np.abs(samples).max() <= 0.9
    np.testing.assert_array_equal(samples, render_negative(plan))
    assert not np.array_equal(samples[:8000], render_negative(replace(plan, number=plan.number + 1))[:8000])


def test_a_batch_of_species_and_negatives_is_synthesised_into_one_archive(tmp_path: Path) -> None:
    plans: list[Plan | NegativePlan] = [plan_corpus(7, 2, 3)[0], plan_negatives(7, 2)[1]]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(csv_text([["recording"], *([p.id] for p in plans)]))
    settings = '{"species": 2, "recordings": 3, "negatives": 2}'
    synthesise.main(
        ["--settings", settings, "--manifest", str(manifest), "--log", str(tmp_path / "log"),
         "--audio", str(tmp_path / "a.tar"), "--truth", str(tmp_path / "a.csv")]
    )  # fmt: skip
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == [p.id for p in plans]
        assert len(decode(tar.extractfile(plans[1].id), 16000)) > 8 * 16000
    assert set(pd.read_csv(tmp_path / "a.csv")["recording"]) == {plans[0].id}


def test_a_folder_of_the_demo_has_a_reserved_folder_of_negatives(tmp_path: Path) -> None:
    assert write_folder(tmp_path, species=2, recordings=3, seed=7, negatives=2, other_birds=1) == 9
    assert {p.name for p in tmp_path.iterdir()} == {
        "Fictornis_alba",
        "Fictornis_boreas",
        "noise",
        "other",
        "SOURCES.csv",
    }
    table = pd.read_csv(tmp_path / "SOURCES.csv", keep_default_na=False)
    negatives = table[table["file"].str.startswith(("noise/", "other/"))]
    assert negatives["species"].tolist() == ["", "", ""]
    assert all((tmp_path / file).is_file() for file in table["file"])
