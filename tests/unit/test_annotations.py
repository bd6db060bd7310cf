"""Annotation boxes: read from the tables of several programs, checked, counted, and turned into labels of windows."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from autobird.core.errors import AutobirdError
from autobird.corpus.settings import CorpusSettings
from autobird.sources.annotation_reader import BEFORE_START
from autobird.sources.annotations import AnnotationSource
from autobird.sources.listing import Listing
from autobird.sources.select import source_of
from autobird.sources.selection_tables import Selection
from autobird.sources.sequences import AMBIGUOUS_TIME, times_within_files

RAVEN = """Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies
1\tWaveform 1\t1\t1.000\t2.500\t1000\t5000\tParus major
1\tSpectrogram 1\t1\t1.000\t2.500\t1000\t5000\tParus major
2\tSpectrogram 1\t1\t7.000\t7.000\t1000\t5000\tParus major
3\tSpectrogram 1\t1\t8.000\t9.000\t1000\t5000\t
4\tSpectrogram 1\t1\tx\t9.000\t1000\t5000\tParus major
5\tSpectrogram 1\t1\t11.000\t12.000\t1000\t5000\tCorvus_corone
"""
AUDACITY = "1,0\t2,5\tParus major\n\\\t1000\t5000\n7\t8\t\n"
GENERIC = "file,start,end,label\nb/deep.wav,1,2,Parus major\ndeep.wav,3,4,Corvus corone\nmissing.wav,1,2,Pica pica\n"


def write(root: Path, name: str, text: str | None = None) -> None:
    """Write an annotation table, or without `text` a file with a content of its own."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"audio of {name}" if text is None else text, encoding="utf-8")


def source(root: Path, **annotations: object) -> AnnotationSource:
    settings = CorpusSettings(type="annotations", root=str(root), annotations=annotations)
    annotated = source_of(settings, root.parent / "c.sqlite")
    assert isinstance(annotated, AnnotationSource)
    return annotated


def test_duplicates_empty_labels_and_boxes_of_no_length_in_a_raven_table_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "r", "a.wav")
    write(tmp_path / "r", "a.Table.1.selections.txt", RAVEN)
    annotated = source(tmp_path / "r")
    assert [
        (b.start, b.end, b.species, b.problem) for b in sorted(annotated.boxes(), key=lambda b: (b.start, b.problem))
    ] == [
        (0.0, 0.0, "Parus major", "no time"),
        (1.0, 2.5, "Parus major", ""),
        (1.0, 2.5, "Parus major", "duplicate row"),
        (7.0, 7.0, "Parus major", "zero length"),
        (8.0, 9.0, "", "no label"),
        (11.0, 12.0, "Corvus corone", ""),
    ]
    assert sorted(annotated.notes()) == [
        "1 of 6 annotations are not used: duplicate row",
        "1 of 6 annotations are not used: no label",
        "1 of 6 annotations are not used: no time",
        "1 of 6 annotations are not used: zero length",
    ]


def test_audacity_and_csv_tables_are_recognised_by_their_first_line(tmp_path: Path) -> None:
    write(tmp_path / "r", "x/a.wav")
    write(tmp_path / "r", "x/a.txt", AUDACITY)
    write(tmp_path / "r", "x/b.wav")
    write(tmp_path / "r", "x/b.csv", "Start (s);End (s);Common name\n1;2;Great Tit\n")
    annotated = source(tmp_path / "r")
    assert [(b.recording, b.start, b.end, b.species, b.problem) for b in annotated.boxes()] == [
        ("x/a.wav", 1.0, 2.5, "Parus major", ""),
        ("x/a.wav", 7.0, 8.0, "", "no label"),
        ("x/b.wav", 1.0, 2.0, "Great Tit", ""),
    ]


def test_one_table_may_describe_all_recordings(tmp_path: Path) -> None:
    write(tmp_path / "r", "b/deep.wav")
    write(tmp_path / "r", "c/other.wav")
    write(tmp_path / "r", "all.csv", GENERIC)
    annotated = source(tmp_path / "r", table="all.csv")
    assert {(b.recording, b.species) for b in annotated.boxes()} == {
        ("b/deep.wav", "Parus major"),
        ("b/deep.wav", "Corvus corone"),
    }
    assert annotated.notes() == ["1 annotation tables or rows belong to no recording, for example all.csv: missing.wav"]
    problems = {r.recording: r.problem for r in annotated.recordings()}
    assert problems == {
        "b/deep.wav": "",
        "c/other.wav": "not annotated; add its annotation table or remove the recording",
    }
    assert all(r.species == "" for r in annotated.recordings())


def test_a_corrected_box_changes_only_the_table_of_boxes(tmp_path: Path) -> None:
    settings = CorpusSettings(type="annotations", root=str(tmp_path / "r"), batches=2)
    write(tmp_path / "r", "a.wav")
    write(tmp_path / "r", "a.txt", "1\t2\tParus major\n5\t6\tCorvus corone\n")

    def digests() -> dict[str, str]:
        listing = Listing(source_of(settings, tmp_path / "c"), settings)
        listing.check()
        return {t: listing.manifests.digest(t) for t in ("0", "1", "grouping", "details", "exclusions", "boxes")}

    before = digests()
    write(tmp_path / "r", "a.txt", "1\t2.5\tParus major\n5\t6\tCorvus corone\n")
    assert {t for t, d in digests().items() if d != before[t]} == {"boxes"}


def silent_file(root: Path, name: str, seconds: float) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * 8000)), 8000, format="WAV")


def drawn(found: AnnotationSource) -> list[tuple[str, float, float, str, str]]:
    return [(b.recording, b.start, b.end, b.species, b.problem) for b in found.boxes()]


def test_tables_without_labels_are_refused_only_where_all_lack_them(tmp_path: Path) -> None:
    write(tmp_path / "r", "a.wav")
    write(tmp_path / "r", "a.txt", "Begin Time (s)\tEnd Time (s)\tWho\n1\t2\tParus major\n")
    with pytest.raises(
        AutobirdError, match=r"no annotation table has a column of the label \(a\.txt has: .*Who\); set corpus"
    ):
        source(tmp_path / "r")
    with pytest.raises(AutobirdError, match=r"has a column 'Wo' of the label"):
        source(tmp_path / "r", label="Wo")
    assert source(tmp_path / "r", label="Who").boxes()[0].species == "Parus major"
    assert source(tmp_path / "r", species="Crex crex").boxes()[0].species == "Crex crex"
    write(tmp_path / "r", "b.wav")
    write(tmp_path / "r", "b.txt", "Begin Time (s)\tEnd Time (s)\tSpecies\n1\t2\tPica pica\n")
    found = source(tmp_path / "r")
    assert drawn(found) == [("a.wav", 1.0, 2.0, "", "no label"), ("b.wav", 1.0, 2.0, "Pica pica", "")]
    assert any(n.startswith("1 of 2 annotation tables have no column of the label") for n in found.notes())
    with pytest.raises(AutobirdError, match=r"annotations\.table: gone is not a file"):
        source(tmp_path / "r", table="gone")


def test_all_unreadable_tables_are_named_at_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / "r", f"{name}.wav")
        write(tmp_path / "r", f"{name}.txt", "start\tspecies\n1\tx\n" if name != "c" else "1\t2\tx\n")
    with pytest.raises(AutobirdError, match=r"a\.txt has no column of the end .*; .*b\.txt has no column of the end"):
        source(tmp_path / "r")


def test_a_text_that_describes_no_recording_is_noted_and_not_read_as_a_table(tmp_path: Path) -> None:
    write(tmp_path / "r", "a.wav")
    write(tmp_path / "r", "a.txt", "1\t2\tx\n")
    write(tmp_path / "r", "CONFIG.TXT", "Device ID: 24F3\nSample rate: 48000\n")
    found = source(tmp_path / "r")
    assert drawn(found) == [("a.wav", 1.0, 2.0, "x", "")]
    assert found.notes() == ["1 annotation tables or rows belong to no recording, for example CONFIG.TXT"]


@pytest.mark.parametrize("table", ["raven.txt", "boxes.csv", "BirdNET_SelectionTable.txt"])
def test_rows_are_assigned_by_path_where_sites_name_their_files_alike(tmp_path: Path, table: str) -> None:
    """A table of all recordings, named by the setting or found beside them."""
    root = tmp_path / "r"
    for site in "XYZ":
        write(root, f"{site}/a.WAV")
    rows = {
        "raven.txt": "Begin Time (s)\tEnd Time (s)\tBegin Path\tBegin File\tSpecies\n"
        + "".join(f"0\t1\tD:\\field\\{s}\\a.WAV\ta.WAV\t{s}\n" for s in "XYZ"),
        "boxes.csv": "file,start,end,species\n" + "".join(f"{s}\\a.WAV,0,1,{s}\n" for s in "XYZ"),
        "BirdNET_SelectionTable.txt": "Begin Time (s)\tEnd Time (s)\tCommon Name\tBegin Path\tFile Offset (s)\n"
        + "".join(f"{9 * n}\t{9 * n + 1}\t{s}\t/mnt/{s}/a.WAV\t0\n" for n, s in enumerate("XYZ")),
    }
    write(root, table, rows[table])
    expected = [(f"{s}/a.WAV", 0.0, 1.0, s, "") for s in "XYZ"]
    assert drawn(source(root, table=table)) == expected
    assert drawn(source(root)) == expected


def test_rows_that_fit_several_recordings_are_counted_and_left_out(tmp_path: Path) -> None:
    for site in "XY":
        write(tmp_path / "r", f"{site}/a.wav")
    write(tmp_path / "r", "Y/b.wav")
    write(tmp_path / "r", "all.csv", "file,start,end,species\na.wav,0,1,A\na.wav,2,3,A\nb.wav,0,1,B\n")
    found = source(tmp_path / "r", table="all.csv")
    assert drawn(found) == [("Y/b.wav", 0.0, 1.0, "B", "")]
    assert found.notes() == [
        "2 annotation tables or rows fit several recordings and are left out; give the path of each recording, for example "
        "all.csv: a.wav fits X/a.wav and Y/a.wav"
    ]


def test_a_row_of_another_folder_does_not_become_that_of_a_recording_of_the_same_name(tmp_path: Path) -> None:
    write(tmp_path / "r", "Y/a.wav")
    write(tmp_path / "r", "b.wav")
    write(
        tmp_path / "r",
        "all.csv",
        "file,start,end,species\nX/a.wav,0,1,A\nY/a.wav,0,1,B\nX/b.wav,0,1,A\nY/b.wav,0,1,B\n",
    )
    found = source(tmp_path / "r", table="all.csv")
    assert drawn(found) == [("Y/a.wav", 0.0, 1.0, "B", "")]
    assert found.notes() == [
        "3 annotation rows name a file of another folder and are left out, for example all.csv: X/a.wav is not Y/a.wav"
    ]


def test_a_table_in_another_folder_belongs_to_the_recording_of_its_name(tmp_path: Path) -> None:
    for site in "XY":
        write(tmp_path / "r", f"audio/{site}/a.wav")
        write(tmp_path / "r", f"labels/{site}/a.Table.1.selections.txt", f"start\tend\tspecies\n0\t1\t{site}\n")
    write(tmp_path / "r", "audio/X/b.wav")
    write(tmp_path / "r", "labels/b.txt", "0\t1\tB\n")
    write(tmp_path / "r", "labels/a.txt", "0\t1\tB\n")
    found = source(tmp_path / "r")
    assert drawn(found) == [
        ("audio/X/a.wav", 0.0, 1.0, "X", ""),
        ("audio/X/b.wav", 0.0, 1.0, "B", ""),
        ("audio/Y/a.wav", 0.0, 1.0, "Y", ""),
    ]
    assert found.notes() == [
        "1 annotation tables or rows fit several recordings and are left out; give the path of each recording, for example "
        "labels/a.txt fits audio/X/a.wav and audio/Y/a.wav"
    ]


def test_a_table_that_names_a_renamed_recording_describes_the_one_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "r", "new.wav")
    write(tmp_path / "r", "new.txt", "Begin Time (s)\tEnd Time (s)\tBegin File\tSpecies\n0\t1\told.wav\tA\n")
    assert drawn(source(tmp_path / "r")) == [("new.wav", 0.0, 1.0, "A", "")]


def test_rows_that_name_a_file_or_folder_that_is_not_there_are_noted(tmp_path: Path) -> None:
    write(tmp_path / "r", "X/dawn.wav")
    write(tmp_path / "r", "X/dusk.wav")
    write(tmp_path / "r", "all.csv", "file,start,end,label\nD:\\Y\\dawn.wav,1,2,A\nD:\\X\\dusk.wav,1,2,B\n")
    annotated = source(tmp_path / "r")
    assert [(b.recording, b.species) for b in annotated.boxes()] == [("X/dawn.wav", "A"), ("X/dusk.wav", "B")]
    assert [n for n in annotated.notes() if "does not exist here" in n] == [
        "1 annotation rows name a file or folder that does not exist here, and are used for the recording of the same name or "
        "beside the table, for example all.csv: D:/Y/dawn.wav for X/dawn.wav"
    ]


def test_a_table_of_a_sequence_beside_its_first_file_describes_all_of_its_files(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write(tmp_path / "r", name)
    write(
        tmp_path / "r",
        "a.Table.1.selections.txt",
        "Begin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies\n"
        "1\t2\ta.wav\t1\tA\n11\t12\tb.wav\t1\tB\n31\t32\tc.wav\t1\tC\n",
    )
    found = source(tmp_path / "r")
    assert drawn(found) == [("a.wav", 1.0, 2.0, "A", ""), ("b.wav", 1.0, 2.0, "B", "")]
    assert found.notes() == [
        "1 annotation tables or rows belong to no recording, for example a.Table.1.selections.txt: c.wav"
    ]


SEQUENCE = "Begin Time (s)\tEnd Time (s)\tBegin File\tSpecies\n"


def sequence(
    root: Path, *rows: tuple[float, float, str], header: str = SEQUENCE
) -> list[tuple[str, float, float, str, str]]:
    """Three files of 10, 40 and 120 s."""
    for name, seconds in (("a.wav", 10), ("b.wav", 40), ("c.wav", 120)):
        silent_file(root, name, seconds)
    write(root, "all.txt", header + "".join(f"{start}\t{end}\t{file}\tA\n" for start, end, file in rows))
    return drawn(source(root, table="all.txt"))


def test_times_that_count_through_several_files_are_converted_by_their_lengths(tmp_path: Path) -> None:
    rows = ((1, 2, "a.wav"), (12, 13, "b.wav"), (45, 46, "b.wav"), (60, 61, "c.wav"))
    assert sequence(tmp_path / "r", *rows) == [
        ("a.wav", 1.0, 2.0, "A", ""),
        ("b.wav", 2.0, 3.0, "A", ""),
        ("b.wav", 35.0, 36.0, "A", ""),
        ("c.wav", 10.0, 11.0, "A", ""),
    ]
    notes = source(tmp_path / "r", table="all.txt").notes()
    assert notes == [
        "1 annotation tables count time through several files; it was converted by the lengths of the files, for example all.txt"
    ]


def test_times_within_each_file_stay(tmp_path: Path) -> None:
    rows = ((1, 2, "a.wav"), (2, 3, "b.wav"), (0.2, 1, "c.wav"), (60, 61, "c.wav"))
    assert [(b[0], b[1], b[4]) for b in sequence(tmp_path / "r", *rows)] == [
        ("a.wav", 1.0, ""),
        ("b.wav", 2.0, ""),
        ("c.wav", 0.2, ""),
        ("c.wav", 60.0, ""),
    ]


def test_a_box_after_the_end_of_its_file_does_not_affect_the_others_if_times_start_again_in_each_file(
    tmp_path: Path,
) -> None:
    rows = ((1, 2, "a.wav"), (50, 51, "a.wav"), (2, 3, "b.wav"), (300, 301, "c.wav"))
    assert [(b[1], b[4]) for b in sequence(tmp_path / "r", *rows)] == [(1.0, ""), (50.0, ""), (2.0, ""), (300.0, "")]


def test_headers_are_read_only_if_times_do_not_start_again() -> None:
    rows = [("a", Selection("a", 3, 4, "A")), ("b", Selection("b", 1, 2, "A"))]
    assert times_within_files(rows, lambda _: pytest.fail("a header was read"), True, ["a", "b"]) == (
        [s for _, s in rows],
        False,
    )


def test_times_that_may_count_either_way_are_not_used(tmp_path: Path) -> None:
    """Both fit: 20 s is within b.wav, and 10 s after its start if time counts through a.wav."""
    rows = ((1, 2, "a.wav"), (20, 21, "b.wav"))
    assert [b[4] for b in sequence(tmp_path / "r", *rows)] == ["", AMBIGUOUS_TIME]
    other = SEQUENCE.replace("Begin Time (s)", "start").replace("End Time (s)", "end")
    assert [b[4] for b in sequence(tmp_path / "s", *rows, header=other)] == ["", ""]


def test_times_that_fit_neither_way_are_not_used(tmp_path: Path) -> None:
    rows = ((1, 2, "a.wav"), (20, 21, "b.wav"), (500, 501, "b.wav"))
    assert [b[4] for b in sequence(tmp_path / "r", *rows)] == ["", AMBIGUOUS_TIME, AMBIGUOUS_TIME]


def test_times_are_not_converted_if_the_sequence_may_begin_with_an_earlier_file() -> None:
    """The times fit a sequence b, c as well as a, b, c, of which a has no selections."""
    rows = [("b", Selection("b", 8.0, 9.0, "A")), ("c", Selection("c", 17.0, 18.0, "B"))]

    def converted(length_of_a: float) -> list[tuple[float, str]]:
        lengths = {"a": length_of_a, "b": 10.0, "c": 10.0}
        return [(s.start, s.problem) for s in times_within_files(rows, lengths.get, True, ["a", "b", "c"])[0]]

    assert converted(5.0) == [(8.0, AMBIGUOUS_TIME), (17.0, AMBIGUOUS_TIME)]
    assert converted(10.0) == [(8.0, ""), (7.0, "")]


def test_times_of_a_raven_table_that_is_named_after_another_recording_are_not_used(tmp_path: Path) -> None:
    """Of a sequence a, b only b has selections; their times count from the start of a."""
    write(tmp_path / "r", "a.wav")
    write(tmp_path / "r", "b.wav")
    header = "Begin Time (s)\tEnd Time (s)\tBegin File\tSpecies\tFile Offset (s)\n"
    write(tmp_path / "r", "a.Table.1.selections.txt", header + "700\t701\tb.wav\tA\t\n")
    assert [(b.recording, b.problem) for b in source(tmp_path / "r").boxes()] == [("b.wav", AMBIGUOUS_TIME)]
    write(tmp_path / "r", "a.Table.1.selections.txt", header + "700\t701\tb.wav\tA\t100\n")
    assert [(b.start, b.problem) for b in source(tmp_path / "r").boxes()] == [(100.0, "")]


def test_times_are_not_converted_if_the_table_omits_a_file_of_the_sequence(tmp_path: Path) -> None:
    """b.wav without selections, whose 40 s are in the times of c.wav."""
    rows = ((1, 2, "a.wav"), (60, 61, "c.wav"), (125, 126, "c.wav"))
    assert [b[4] for b in sequence(tmp_path / "r", *rows)] == ["", AMBIGUOUS_TIME, AMBIGUOUS_TIME]


def test_the_table_of_boxes_marks_labels_that_are_not_species(tmp_path: Path) -> None:
    write(tmp_path / "r", "a.wav")
    write(tmp_path / "r", "a.txt", "1\t2\tunknown\n4000.123456\t4000.987654\tCorvus corone\n")
    settings = CorpusSettings(type="annotations", root=str(tmp_path / "r"))
    text = Listing(source_of(settings, tmp_path / "c"), settings).manifests.text("boxes")
    assert text.splitlines()[1:] == [
        "a.wav,1.0,2.0,unknown,no species,,",
        "a.wav,4000.123456,4000.987654,Corvus corone,,,",
    ]


def test_a_box_that_ends_before_its_recording_begins_has_no_usable_time(tmp_path: Path) -> None:
    silent_file(tmp_path, "a.wav", 5.0)
    write(tmp_path, "a.txt", "-3.0\t-1.0\tParus major\n-1.0\t2.0\tPica pica\n")
    found = source(tmp_path)
    assert [(b.species, b.problem) for b in found.boxes()] == [("Parus major", BEFORE_START), ("Pica pica", "")]
    assert any("ends before the start of its recording" in note for note in found.notes())
