"""The field recordings of the demo: names and headers of recorders, boxes that match the sound, and tables that are read back."""

import datetime as dt
import io
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import spectrogram

from autobird.audio.headers import read_header
from autobird.cli import main
from autobird.core.files import csv_text
from autobird.dataset.file_names import parse_timestamp
from autobird.sources import base
from autobird.sources.annotations import AnnotationSource
from autobird.sources.settings import AnnotationSettings, ColumnSettings
from autobird.synth import field
from autobird.synth.field import box_rows, raven_table, synthesise_field
from autobird.synth.field_birds import UNKNOWN_GENUS, birds_of, occupied
from autobird.synth.field_plan import RECORDERS, SURVEY, FieldPlan, faulty_plans, plan_field
from autobird.synth.field_scene import AUDIBLE_DB, CLEAR_DB, Song, render_field
from autobird.synth.grammar import individual_grammar, species_grammar
from autobird.synth.plan import plan_corpus
from autobird.synth.settings import DemoFieldSettings, DemoSettings

DEMO = DemoSettings()
PLANS = plan_field(DEMO, DemoFieldSettings())
SHORT = DemoFieldSettings(recordings=5, seconds=30)
SHORT_PLANS = plan_field(DEMO, SHORT)


@pytest.fixture(scope="module")
def rendered() -> list[tuple[FieldPlan, np.ndarray, list[Song]]]:
    return [(plan, *render_field(plan)) for plan in plan_field(DEMO, DemoFieldSettings(recordings=5, seconds=60))]


def test_the_default_survey_has_four_recorders_at_dawn_and_in_the_evening_of_four_days() -> None:
    assert len({p.id for p in PLANS}) == len(PLANS) == 32
    assert {p.recorder.site for p in PLANS} == {r.site for r in RECORDERS}
    visits = {(p.site, p.start) for p in PLANS}
    assert len(visits) == 32
    assert len({start.date() for _, start in visits}) == 4
    assert {start.time() for _, start in visits} == {dt.time(4, 30), dt.time(20, 30)}
    assert {p.sample_rate for p in PLANS} == {24000, 32000, 48000}


def test_a_larger_number_of_field_recordings_does_not_change_the_first_ones() -> None:
    assert plan_field(DEMO, DemoFieldSettings(recordings=50))[:32] == PLANS


def test_names_and_headers_are_those_of_the_recorders() -> None:
    for plan in SHORT_PLANS[:4]:
        name = plan.id.rpartition("/")[2]
        stamp = parse_timestamp(name)
        assert stamp is not None
        assert stamp.start == plan.start
        data, _ = synthesise_field(plan)
        header = read_header(io.BytesIO(data))
        if plan.recorder.serial:
            assert (header.recorder, header.recorded_at) == (plan.recorder.serial, f"{plan.start.isoformat()}+02:00")
        else:
            assert name == "20240512T043000+0200_REC.flac"
        info = soundfile.info(io.BytesIO(data))
        assert (info.samplerate, info.channels) == (plan.sample_rate, 1)
        assert info.duration == pytest.approx(plan.duration, abs=0.001)
    assert {p.id.rpartition("/")[2] for p in SHORT_PLANS[:2]} == {"20240512_043000.WAV", "SMA01234_20240512_043000.wav"}


def test_the_same_plan_gives_the_same_bytes_and_songs() -> None:
    assert synthesise_field(SHORT_PLANS[0]) == synthesise_field(SHORT_PLANS[0])


def test_boxes_have_more_energy_than_their_bands_without_songs(
    rendered: list[tuple[FieldPlan, np.ndarray, list[Song]]],
) -> None:
    compared = louder = 0
    for plan, samples, songs in rendered:
        frequency, time, power = spectrogram(samples, plan.sample_rate, nperseg=1024, noverlap=512)
        free = np.ones(len(time), bool)
        for song in songs:
            free &= (time < song.start - 0.05) | (time > song.end + 0.3)
        if plan.fault == "gap":
            free &= power.sum(axis=0) > 0
        if free.sum() < 20:
            continue
        for song in (s for s in songs if s.clear):
            band = (frequency >= song.low) & (frequency <= song.high)
            inside = (time >= song.start) & (time <= song.end)
            # The loudest frames of the box: songs have gaps between their notes.
            compared += 1
            louder += np.percentile(power[np.ix_(band, inside)].sum(axis=0), 80) > 2 * np.median(
                power[np.ix_(band, free)].sum(axis=0)
            )
    assert compared > 30
    assert louder > 0.95 * compared


def test_boxes_are_inside_the_recording_and_below_half_its_sampling_rate(
    rendered: list[tuple[FieldPlan, np.ndarray, list[Song]]],
) -> None:
    for plan, samples, songs in rendered:
        assert len(samples) == round(plan.duration * plan.sample_rate)
        assert np.abs(samples).max() <= 1
        assert all(0 <= s.start < s.end <= plan.duration for s in songs)
        assert all(0 < s.low < s.high < plan.sample_rate / 2 for s in songs)


def test_several_species_sing_and_some_of_them_are_not_in_the_corpus(
    rendered: list[tuple[FieldPlan, np.ndarray, list[Song]]],
) -> None:
    names = {s.species for _, _, songs in rendered for s in songs}
    corpus = {p.name for p in plan_corpus(DEMO.seed, DEMO.species, 3)}
    assert len(names & corpus) > 3
    assert names - corpus
    assert all(name.startswith(UNKNOWN_GENUS) for name in names - corpus)
    assert any(
        a.species != b.species and a.start < b.end and b.start < a.end
        for _, _, songs in rendered for a in songs for b in songs
    )  # fmt: skip


def test_every_species_lives_at_two_sites_and_no_site_has_all_species() -> None:
    sites = [set(occupied(DEMO.seed, DEMO.species, site)) for site in range(len(RECORDERS))]
    assert all(sum(index in species for species in sites) >= 2 for index in range(DEMO.species))
    assert all(len(species) < DEMO.species for species in sites)
    assert all(len(occupied(7, 200, site)) < 110 for site in range(len(RECORDERS)))  # a half, and about two more


def test_the_birds_are_no_individuals_of_the_corpus() -> None:
    sessions = {(p.species, p.session) for p in plan_corpus(DEMO.seed, DEMO.species, 60)}
    corpus = {
        individual_grammar(species_grammar(DEMO.seed, species), np.random.default_rng([DEMO.seed, 4, species, session]))
        for species, session in sessions
    }
    field_birds = {bird.grammar for plan in PLANS for bird in birds_of(plan)}
    assert len(field_birds) > 15
    assert not corpus & field_birds
    assert SURVEY not in {p.recordist for p in plan_corpus(DEMO.seed, DEMO.species, 60)}


def test_no_song_is_in_the_digital_silence_of_a_fault(
    rendered: list[tuple[FieldPlan, np.ndarray, list[Song]]],
) -> None:
    plan, samples, songs = next(r for r in rendered if r[0].fault == "gap")
    silent = np.flatnonzero(samples == 0)
    begin, end = silent[0] / plan.sample_rate, (silent[-1] + 1) / plan.sample_rate
    assert 0.1 * plan.duration - 0.01 < end - begin < 0.25 * plan.duration + 0.01
    # The boxes of songs that it interrupts end or begin with a note outside it.
    assert songs
    assert not [s for s in songs if begin < s.start < end or begin < s.end < end]


def test_faint_songs_are_left_out_and_doubtful_ones_have_no_label() -> None:
    plan = PLANS[0]
    clear = Song("Fictornis alba", 1.0, 2.5, 2000.0, 4000.0, CLEAR_DB, CLEAR_DB + 3)
    doubtful = clear._replace(snr=CLEAR_DB - 1)
    inaudible = clear._replace(snr=AUDIBLE_DB - 5, best_snr=AUDIBLE_DB - 0.1)
    assert [s.audible for s in (clear, doubtful, inaudible)] == [True, True, False]
    assert box_rows(plan, [clear, doubtful]) == [
        [plan.id, "1.000", "2.500", "Fictornis alba", ""],
        [plan.id, "1.000", "2.500", "", base.NO_LABEL],
    ]
    assert raven_table([clear, doubtful]) == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies\n"
        "1\tSpectrogram 1\t1\t1.000000000\t2.500000000\t2000.000\t4000.000\tFictornis alba\n"
        "2\tSpectrogram 1\t1\t1.000000000\t2.500000000\t2000.000\t4000.000\t\n"
    )


def test_noise_makes_the_signal_to_noise_ratio_of_the_same_song_lower(
    rendered: list[tuple[FieldPlan, np.ndarray, list[Song]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _, songs = rendered[0]
    monkeypatch.setattr("autobird.synth.field_scene._NOISE", (5.0, 5.0))
    _, loud = render_field(plan)
    assert [(s.species, s.start) for s in loud] == [(s.species, s.start) for s in songs]
    assert all(a.snr < b.snr for a, b in zip(loud, songs, strict=True))
    assert sum(s.audible for s in loud) < sum(s.audible for s in songs)


def test_the_archive_and_the_boxes_of_a_batch_are_reproducible(tmp_path: Path) -> None:
    plans = SHORT_PLANS[:2]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(csv_text([["recording"], *([p.id] for p in plans)]))
    for name in ("a", "b"):
        field.main(
            ["--settings", SHORT.model_dump_json(), "--species", "10", "--seed", "7", "--manifest", str(manifest),
             "--log", str(tmp_path / "log"), "--audio", str(tmp_path / f"{name}.tar"),
             "--boxes", str(tmp_path / f"{name}.csv")]
        )  # fmt: skip
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == [p.id for p in plans]
    boxes = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert list(boxes) == ["recording", "start", "end", "species", "problem"]
    assert set(boxes["recording"]) == {p.id for p in plans}
    assert ((boxes["species"] == "") == (boxes["problem"] == base.NO_LABEL)).all()


def test_a_folder_of_field_recordings_is_read_back_as_annotated_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "survey"
    main(["demo", str(folder), "--field", "--recordings", "5", "--seconds", "30"])
    assert "7 field recordings of 10 species" in capsys.readouterr().out
    source = AnnotationSource(folder, tmp_path / "cache", "auto", ColumnSettings(), AnnotationSettings())
    expected = [row for plan in SHORT_PLANS for row in box_rows(plan, synthesise_field(plan)[1])]
    assert len(expected) > 10
    found = source.boxes()
    assert sorted([b.recording, f"{b.start:.3f}", f"{b.end:.3f}", b.species, b.problem] for b in found) == sorted(
        expected
    )
    assert all("no label" in note for note in source.notes())
    silent, damaged = (plan.id for plan in faulty_plans(DEMO, SHORT))
    assert {r.recording for r in source.recordings()} == {p.id for p in SHORT_PLANS} | {silent, damaged}
    # The silent recording was annotated, without a box; the damaged one cannot be.
    assert {r.recording for r in source.recordings() if r.problem} == {damaged}
    assert not soundfile.read(folder / silent)[0].any()
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(folder / damaged)
    places = {m.recording: (m.place, m.date, m.time, m.latitude) for m in source.metadata()}
    assert places[SHORT_PLANS[1].id] == ("North Ridge", "2024-05-12", "04:30:00", "52.744")


@pytest.mark.parametrize(("option", "value"), [("--recordings", "0"), ("--seconds", "5"), ("--species", "1")])
def test_an_impossible_survey_is_refused(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["demo", str(tmp_path / "survey"), "--field", option, value])
    error = capsys.readouterr().err
    assert error.startswith(f"error: {option} {value}")
    assert not (tmp_path / "survey").exists()
