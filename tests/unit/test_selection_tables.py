"""Annotation tables as programs write them: columns, encodings, quoting, and which recording they describe."""

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobird.core.errors import AutobirdError
from autobird.core.text import decode
from autobird.sources.matching import Match, RecordingFinder
from autobird.sources.selection_tables import (
    CLOCK_TIME,
    NO_OFFSET,
    NO_TIME,
    TOO_MANY_CELLS,
    ZERO,
    Selection,
    format_of,
    read_selections,
)
from autobird.sources.settings import AnnotationSettings


def read(tmp_path: Path, text: str | bytes, **settings: str) -> list[Selection]:
    path = tmp_path / "table.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_selections(path, AnnotationSettings(**settings)).selections


DIALECTS = {
    "Raven": "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies\n"
    "1\tSpectrogram 1\t1\t1.500\t3.000\t1000\t5000\tParus major\n",
    "Raven, decimal commas": "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t1,5\t3,0\tParus major\n",
    "Audacity": "1.500000\t3.000000\tParus major\n\\\t1000\t5000\n",
    "BirdNET, CSV": "Start (s),End (s),Scientific name,Common name,Confidence\n1.5,3.0,Parus major,Great Tit,0.9\n",
    "BirdNET, R": "filepath,start,end,scientific_name,common_name,confidence\n,1.5,3.0,Parus major,Great Tit,0.9\n",
    "semicolons": "start;end;label\n1,5;3,0;Parus major\n",
    "onset and offset": "onset_s,offset_s,class\n1.5,3.0,Parus major\n",
    "start and duration": "start,duration,label\n1.5,1.5,Parus major\n",
    "Kaleidoscope": "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,MANUAL ID\n,,,0,1.5,1.5,Parus major\n",
    "Kaleidoscope Pro": "INDIR,FOLDER,IN FILE,OFFSET,DURATION,AUTO ID*,MANUAL ID*\n,,,1.5,1.5,NoID,Parus major\n",
    "Excel's line about the separator": "sep=;\r\nstart;end;label\r\n1,5;3,0;Parus major\r\n",
    "semicolons within a quoted name": 'start,end,label,"remark (a; b; c)"\n1.5,3.0,Parus major,\n',
    "a remark with a line separator of Unicode": "start,end,label,remark\n1.5,3.0,Parus major,near\u2028the pond\n",
    "warbleR": '"sound.files","selec","start","end","species"\n"",1,1.5,3,"Parus major"\n',
    "spaces and capitals": "  START ,End,  SPECIES  \n1.5,3,  Parus   major \n",
    "underscores in labels": "start,end,species\n1.5,3,Parus_major\n",
}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_the_same_selection(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, DIALECTS[name]) == [Selection("", 1.5, 3.0, "Parus major")]


def test_one_semicolon_separates_two_columns(tmp_path: Path) -> None:
    assert read(tmp_path, "start;end\n1,5;3,0\n", species="A") == [Selection("", 1.5, 3.0, "A")]


def test_rows_without_a_header_are_not_read_as_audacity_labels(tmp_path: Path) -> None:
    """Otherwise selection 1 of view 2 would last from 1 s to 2 s, with the label 0.5."""
    with pytest.raises(AutobirdError, match="no column of the start"):
        read(tmp_path, "1\t2\t0.5\t1.5\t2000\t4000\tParus major\n")
    rows = "0\t1\tParus major\n1\t2\t0.5\t1.5\n"
    assert [s.problem for s in read(tmp_path, rows)] == ["", TOO_MANY_CELLS]


def test_decimal_commas_between_separating_commas_give_no_label(tmp_path: Path) -> None:
    rows = "start,end,label,a,b,c\n0,5,1,5,Parus major,,,\n"
    assert [s.problem for s in read(tmp_path, rows)] == [TOO_MANY_CELLS]


def test_columns_of_the_same_name_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("start,end,Label,label,x,x\n1,2,A,B,,\n")
    table = read_selections(path, AnnotationSettings())
    assert (table.repeated, table.selections) == ("Label", [Selection("", 1.0, 2.0, "A")])


def test_an_empty_column_of_offsets_counts_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(
        "Begin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies\n1\t2\ta.wav\t\tA\n9\t10\tb.wav\t\tB\n"
    )
    assert not read_selections(path, AnnotationSettings()).has_offsets


def test_what_follows_the_dot_of_a_name_without_extension_distinguishes_recordings() -> None:
    finder = RecordingFinder(["X/site1.wav", "X/site1.2024.wav", "Y/site1.2024.wav"])
    assert finder.named("Y/site1.2024").recording == "Y/site1.2024.wav"
    assert finder.named("site1.2025") == Match("")
    assert finder.named("site1").recording == finder.named("site1.mp4").recording == "X/site1.wav"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_a_table_is_read_in_the_encoding_that_it_has(tmp_path: Path, encoding: str) -> None:
    text = "start\tend\tspecies\n1\t2\tStri\u00e9 \u00fcber\n"
    assert read(tmp_path, text.encode(encoding)) == [Selection("", 1.0, 2.0, "Stri\u00e9 \u00fcber")]


def test_a_guessed_encoding_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    for encoding, note in (
        ("utf-8", ""),
        ("utf-16", ""),
        ("cp1252", "read as Windows-1252"),
        ("utf-16-le", "read as UTF-16-LE"),
    ):
        path.write_bytes("start\tend\tspecies\n1\t2\tm\u00fa\n".encode(encoding))
        found = read_selections(path, AnnotationSettings()).note
        assert found.startswith(note)
        assert bool(found) == bool(note)


@pytest.mark.parametrize("data", [b"RIFF\0\0\0\0WAVE\1\2\3", b"start\x81\n", codecs.BOM_UTF16_LE + b"a"])
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(AutobirdError, match=r"table\.txt cannot be read \(.*\); save it as UTF-8"):
        read(tmp_path, data)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")))
def test_utf8_and_utf16_with_a_mark_give_their_text_back(text: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert decode(text.encode(encoding)).text == text


def test_times_within_a_file_come_from_its_offset_column(tmp_path: Path) -> None:
    """Raven and BirdNET count Begin Time from the start of the first of several files."""
    text = (
        "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies\n"
        "1\t4\t6\ta.wav\t4\tA\n2\t13\t15.5\tb.wav\t3\tB\n3\t20\t21\tb.wav\t\tB\n"
    )
    assert read(tmp_path, text) == [
        Selection("a.wav", 4.0, 6.0, "A"),
        Selection("b.wav", 3.0, 5.5, "B"),
        Selection("b.wav", 20.0, 21.0, "B", NO_OFFSET),
    ]


def test_the_path_of_a_recording_comes_before_its_name(tmp_path: Path) -> None:
    raven = "Begin Time (s)\tEnd Time (s)\tBegin File\tBegin Path\tSpecies\n1\t2\ta.wav\tD:\\field\\X\\a.wav\tA\n3\t4\tb.wav\t\tB\n"
    assert [s.file for s in read(tmp_path, raven)] == ["D:/field/X/a.wav", "b.wav"]
    kaleidoscope = "INDIR,FOLDER,IN FILE,OFFSET,DURATION,MANUAL ID\nD:\\bats,X,a.wav,1,2,A\nD:\\bats,,b.wav,1,2,A\n"
    assert [s.file for s in read(tmp_path, kaleidoscope)] == ["D:/bats/X/a.wav", "D:/bats/b.wav"]


def test_quotation_marks_of_raven_tables_are_text(tmp_path: Path) -> None:
    text = 'Begin Time (s)\tEnd Time (s)\tSpecies\tNotes\n0\t1\tA\t"tsee, far\n1\t2\tB\t\n2\t3\tA\t12"\n'
    assert [s.label for s in read(tmp_path, text)] == ["A", "B", "A"]
    quoted = '"Begin Time (s)"\t"End Time (s)"\t"Species"\n"0"\t"1"\t"Parus major"\n'
    assert read(tmp_path, quoted) == [Selection("", 0.0, 1.0, "Parus major")]


def test_quotation_marks_of_csv_tables_quote_where_they_match_and_are_text_where_they_do_not(tmp_path: Path) -> None:
    text = 'start,end,species,note\n0,1,"Tit, great",x\n1,2,B,"two\nlines"\n2,3,C,\n'
    assert [s.label for s in read(tmp_path, text)] == ["Tit, great", "B", "C"]
    for notes in (('"tsee', "", ""), ('12" log', '"', ""), ("", "", '"')):
        rows = "".join(
            f"{n},{n + 1},{label},{note}\n" for n, (label, note) in enumerate(zip("ABA", notes, strict=True))
        )
        assert [s.label for s in read(tmp_path, f"start,end,species,note\n{rows}")] == ["A", "B", "A"]


def test_rows_that_do_not_count_say_why(tmp_path: Path) -> None:
    text = "start,end,species\n1,1,A\n3,2,A\nx,2,A\n1,nan,A\n04:00:10,04:00:12,A\n1:02.5,1:04,A\n1,2,\n1,2,A,more\n1,2,A,\n"
    assert [s.problem for s in read(tmp_path, text)] == [
        ZERO, ZERO, NO_TIME, NO_TIME, CLOCK_TIME, CLOCK_TIME, "no label", TOO_MANY_CELLS, "",
    ]  # fmt: skip


def test_a_table_without_a_column_of_labels_gives_unlabelled_selections_or_those_of_the_one_species(
    tmp_path: Path,
) -> None:
    text = "Selection\tBegin Time (s)\tEnd Time (s)\n1\t1\t2\n"
    assert read(tmp_path, text) == [Selection("", 1.0, 2.0, "", "no label")]
    assert read(tmp_path, text, species="Crex crex") == [Selection("", 1.0, 2.0, "Crex crex")]
    path = tmp_path / "table.txt"
    assert not read_selections(path, AnnotationSettings()).has_labels
    assert read_selections(path, AnnotationSettings(species="Crex crex")).has_labels


def test_the_setting_names_the_column_of_the_label_in_any_case(tmp_path: Path) -> None:
    text = "start,end,species,My_Label\n1,2,A,B\n"
    assert read(tmp_path, text, label="my label")[0].label == "B"


@pytest.mark.parametrize(
    ("header", "missing"),
    [("File,End (s),Species", "start"), ("File,Begin Clock Time,Species", "start"), ("start,species", "end")],
)
def test_a_table_without_times_is_refused_with_the_name_to_give(tmp_path: Path, header: str, missing: str) -> None:
    with pytest.raises(AutobirdError, match=rf"has no column of the {missing} in seconds .*; call it"):
        read(tmp_path, f"{header}\na,1,2\n")


def test_a_table_is_recognised_by_its_first_line() -> None:
    assert format_of("1,5\t2,5\tx") == format_of("1.5\t2") == "audacity"
    assert format_of("Selection\tView") == "raven"
    assert format_of("start,end,label") == format_of("start;end") == "csv"


SITES = RecordingFinder(["X/day/a.WAV", "Y/day/a.WAV", "Y/b.flac", "top.wav", "e\u0301.wav"])


@pytest.mark.parametrize(
    ("file", "recording"),
    [
        ("D:/field/X/day/a.WAV", "X/day/a.WAV"),
        ("d:/FIELD/y/DAY/A.wav", "Y/day/a.WAV"),
        ("elsewhere/b.wav", "Y/b.flac"),
        ("b", "Y/b.flac"),
        ("top.wav", "top.wav"),
        ("\u00e9.wav", "e\u0301.wav"),
        ("gone.wav", ""),
        ("", ""),
    ],
)
def test_a_recording_is_found_by_the_end_of_its_path(file: str, recording: str) -> None:
    found = SITES.named(file)
    assert (found.recording, found.candidates) == (recording, ())


def test_a_name_that_several_recordings_have_is_theirs_who_lies_beside_the_table_or_nobodys() -> None:
    assert SITES.named("a.WAV") == Match("", ("X/day/a.WAV", "Y/day/a.WAV"), 1)
    assert SITES.named("a.WAV", folder="Y/day").recording == "Y/day/a.WAV"
    assert SITES.named("Z/day/a.WAV") == Match("", ("X/day/a.WAV", "Y/day/a.WAV"), 2)


@pytest.mark.parametrize(
    ("table", "recording"),
    [
        ("X/day/a.Table.1.selections.txt", "X/day/a.WAV"),
        ("Y/day/a.WAV.txt", "Y/day/a.WAV"),
        ("labels/X/day/a.txt", "X/day/a.WAV"),
        ("labels/b.BirdNET.results.csv", "Y/b.flac"),
        ("Y/ab.txt", ""),
        ("a.txt", ""),
    ],
)
def test_a_table_belongs_to_the_recording_whose_name_it_begins_with(table: str, recording: str) -> None:
    assert SITES.described_by(table).recording == recording


def test_a_longer_name_beats_a_shorter_one() -> None:
    found = RecordingFinder(["x/a.wav", "x/a.b.wav"])
    assert found.described_by("x/a.b.txt").recording == "x/a.b.wav"
    assert found.described_by("x/a.c.txt").recording == "x/a.wav"
