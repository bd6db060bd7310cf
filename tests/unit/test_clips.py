"""`autobird clips`: which detections are cut, the names of the clips, and recordings that are missing or fit twice."""

import csv
import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import soundfile

from autobird import cli
from autobird.core.files import csv_text
from autobird.predict.origin import Place
from autobird.predict.review_clips import choose, clip_name
from autobird.predict.tables import FoundDetection

COLUMNS = ["file", "start", "end", "species", "probability", "site", "recorder", "recorded_at", "date", "time"]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(a) for a in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def detection(
    probability: float, species: str = "A", start: float = 0.0, at: dt.datetime | None = None
) -> FoundDetection:
    return FoundDetection("x/a.wav", start, start + 5, species, probability, Place("x", "", at), {})


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """Two sites with a recording of the same name, whose sample at each second is the second (divided by 100) or its negative."""
    for site, sign in (("north", 1), ("south", -1)):
        (tmp_path / "field" / site).mkdir(parents=True)
        samples = sign * np.repeat(np.arange(20) / 100, 8000)
        soundfile.write(tmp_path / "field" / site / "20230512_040000.wav", samples, 8000)
    rows = [
        ["/elsewhere/field/north/20230512_040000.wav", "5", "10", "Parus major", "0.9", "north", "AB", "2023-05-12T04:00:00", "", ""],
        ["/elsewhere/field/south/20230512_040000.wav", "0", "5", "Parus major", "0.5", "south", "", "2023-05-12T04:00:00", "", ""],
        ["/elsewhere/field/south/20230512_040000.wav", "15", "20", "Corvus/corone?", "0.7", "south", "", "2023-05-12T04:00:00", "", ""],
    ]  # fmt: skip
    (tmp_path / "d.csv").write_text(csv_text([COLUMNS, *rows]))
    return tmp_path / "field"


def test_detections_are_cut_with_padding_and_listed_for_review(field: Path, tmp_path: Path) -> None:
    assert run("clips", tmp_path / "d.csv", "--recordings", field, "--output", tmp_path / "c", "--padding", 2) == 0
    with (tmp_path / "c/clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["clip"], r["clip_start"], r["clip_end"], r["date"], r["time"], r["is_correct"]) for r in rows] == [
        ("Corvus_corone_/0.700_20230512_040000_00015.0s_20230512-040015.flac", "13", "22", "2023-05-12", "04:00:15", ""),
        ("Parus major/0.500_20230512_040000_00000.0s_20230512-040000.flac", "0", "7", "2023-05-12", "04:00:00", ""),
        ("Parus major/0.900_20230512_040000_00005.0s_20230512-040005.flac", "3", "12", "2023-05-12", "04:00:05", ""),
    ]  # fmt: skip
    lengths = [len(soundfile.read(tmp_path / "c" / r["clip"])[0]) / 8000 for r in rows]
    assert lengths == [7.0, 7.0, 9.0]  # the recording ends at 20 s
    samples, _ = soundfile.read(tmp_path / "c" / rows[2]["clip"])
    np.testing.assert_allclose(samples[::8000], np.arange(3, 12) / 100, atol=1e-4)
    samples, _ = soundfile.read(tmp_path / "c" / rows[0]["clip"])
    np.testing.assert_allclose(samples[::8000], -np.arange(13, 20) / 100, atol=1e-4)


def test_of_a_long_detection_the_beginning_is_cut(field: Path, tmp_path: Path) -> None:
    arguments = ("--recordings", field, "--output", tmp_path / "c", "--min-probability", 0.9, "--max-seconds", 3)
    assert run("clips", tmp_path / "d.csv", *arguments) == 0
    (clip,) = (tmp_path / "c").rglob("*.flac")
    np.testing.assert_allclose(soundfile.read(clip)[0][::8000], np.arange(4, 7) / 100, atol=1e-4)


def test_recordings_whose_names_differ_in_case_alone_are_told_apart(field: Path, tmp_path: Path) -> None:
    if (field / "NORTH").exists():
        pytest.skip("this file system ignores case")
    soundfile.write(field / "north/20230512_040000.WAV", np.full(20 * 8000, 0.5), 8000, format="WAV")
    arguments = ("--recordings", field, "--output", tmp_path / "c", "--padding", 0, "--min-probability", 0.9)
    assert run("clips", tmp_path / "d.csv", *arguments) == 0
    (clip,) = (tmp_path / "c").rglob("*.flac")
    np.testing.assert_allclose(soundfile.read(clip)[0][::8000], np.arange(5, 10) / 100, atol=1e-4)


def test_a_new_sample_replaces_the_earlier_one_but_never_a_review(
    field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("clips", tmp_path / "d.csv", "--recordings", field, "--output", tmp_path / "c")
    assert run(*arguments) == 0
    (tmp_path / "c/notes.flac").write_text("of the user")
    assert run(*arguments, "--min-probability", 0.8) == 0
    clips = sorted(p.relative_to(tmp_path / "c").as_posix() for p in (tmp_path / "c").rglob("*.flac"))
    assert clips == ["Parus major/0.900_20230512_040000_00005.0s_20230512-040005.flac", "notes.flac"]
    table = tmp_path / "c/clips.csv"
    reviewed = table.read_text().replace(",,\n", ",yes,\n").replace(",,\r\n", ",yes,\r\n")
    assert reviewed != table.read_text()
    table.write_text(reviewed)
    assert run(*arguments) == 2
    assert "clips.csv has the review of 1 clip, which would be overwritten" in capsys.readouterr().err
    assert table.read_text() == reviewed
    table.write_text(csv_text([["clip"], ["../d.csv"]]))
    assert run(*arguments) == 2
    assert "was changed" in capsys.readouterr().err


def test_recordings_of_one_path_in_two_tables_are_told_apart(
    field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ["north/20230512_040000.wav", "5", "10", "Parus major", "0.9", "", "", "2023-05-12T04:00:00", "", ""]
    other = [*row[:7], "2023-06-12T04:00:00", "", ""]
    for name, cells in (("e", row), ("f", other)):
        (tmp_path / f"{name}.csv").write_text(csv_text([COLUMNS, cells]))
    tables = (tmp_path / "e.csv", tmp_path / "f.csv")
    assert run("clips", *tables, "--recordings", field, "--output", tmp_path / "c") == 2
    assert "is the name of two recordings in the tables" in capsys.readouterr().err
    assert run("clips", tables[0], tables[0], "--recordings", field, "--output", tmp_path / "c") == 2
    assert "hold the same detections" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_a_sample_is_spread_over_the_scores_of_each_species() -> None:
    found = [detection(p, start=n) for n, p in enumerate([0.5] * 50 + [0.61] * 3 + [0.9] * 40)]
    found += [detection(0.7, "B", start=n) for n in range(3)]
    sample = list(choose(found, 12, 4, 0))
    numbers = {s: [stratum for d, stratum in sample if d.species == s] for s in "AB"}
    assert numbers == {"A": [1] * 4 + [2] * 3 + [4] * 5, "B": [1] * 3}
    assert list(choose(found[::-1], 12, 4, 0)) == sample
    assert list(choose(found, 12, 4, 1)) != sample
    assert len(list(choose(found, None, 4, 0))) == len(found)


def test_names_of_clips_sort_by_score_and_are_safe_on_all_systems() -> None:
    name = clip_name(detection(0.99999, "Phylloscopus c/f: *", 1234.55, dt.datetime(2023, 5, 12, 4)))
    assert name == "Phylloscopus c_f_ _/0.999_a_01234.5s_20230512-042034.flac"
    assert clip_name(detection(0.5)) == "A/0.500_a_00000.0s.flac"


def test_clips_of_one_name_do_not_overwrite_each_other(field: Path, tmp_path: Path) -> None:
    text = (tmp_path / "d.csv").read_text().replace("0.9,north", "0.5,north").replace("wav,5,10", "wav,0,5")
    (tmp_path / "d.csv").write_text(text)
    assert run("clips", tmp_path / "d.csv", "--recordings", field, "--output", tmp_path / "c") == 0
    assert sorted(p.name for p in (tmp_path / "c/Parus major").iterdir()) == [
        "0.500_20230512_040000_00000.0s_20230512-040000-2.flac", "0.500_20230512_040000_00000.0s_20230512-040000.flac",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ([], lambda f: (f / "south/20230512_040000.wav").unlink(), "south/20230512_040000.wav: there is no such recording below --recordings"),
        (["--recordings", "{0}/field/north"], None, "both fit 20230512_040000.wav below --recordings"),
        (["--recordings", "{0}/nowhere"], None, "--recordings {0}/nowhere is not a folder"),
        (["--output", "{0}/d.csv"], None, "--output {0}/d.csv is a file; name a folder"),
        (["--min-probability", "0.95"], None, "no detection with a probability of at least 0.95"),
        ([], lambda f: (f.parent / "d.csv").write_text("a,b\n1,2\n"), "d.csv has no column file, start, end, species, probability (it has: a, b)"),
    ],
)  # fmt: skip
def test_a_clip_that_cannot_be_cut_is_an_error_before_any_is_written(
    options: list[str], change: object, message: str, field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if callable(change):
        change(field)
    arguments = ["--recordings", field, "--output", tmp_path / "c", *(o.format(tmp_path) for o in options)]
    assert run("clips", tmp_path / "d.csv", *arguments) == 2
    assert message.format(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_a_recording_that_cannot_be_decoded_costs_only_its_clips(
    field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (field / "south/20230512_040000.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    assert run("clips", tmp_path / "d.csv", "--recordings", field, "--output", tmp_path / "c") == 1
    assert "south/20230512_040000.wav: skipped: " in capsys.readouterr().err
    assert len(list((tmp_path / "c").rglob("*.flac"))) == 1
