"""Tables of metadata as spreadsheets write them: encodings, line ends, columns, rows that differ, paths of other systems."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.predict.codes import SpeciesCodes
from autobird.predict.species_names import names_in_list, names_of, read_species_list
from autobird.sources.base import RecordingMetadata
from autobird.sources.delimited_text import read_delimited, read_delimited_header
from autobird.sources.listing import Listing
from autobird.sources.metadata import read_header, read_metadata
from autobird.sources.policy import TakeDownList
from autobird.sources.select import is_downloaded, source_of
from autobird.sources.selection_tables import read_selections
from autobird.sources.settings import AnnotationSettings, ColumnSettings, SourceSettings

TEXT = "file,recordist,location\nA/ä.wav,Jørgen,Wood\nA/b.wav,Zoë,Lake\n"
ROWS = [("A/ä.wav", "Jørgen", "Wood"), ("A/b.wav", "Zoë", "Lake")]

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_in_any_encoding_with_any_line_ends(
    encoding: str, line_end: str, delimiter: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(TEXT.replace(",", delimiter).replace("\n", line_end).encode(encoding))
    table = read_delimited(path)
    assert (table.header, table.rows) == (["file", "recordist", "location"], ROWS)
    assert read_header(path) == ["file", "recordist", "location"]
    notes = {"cp1252": "Windows-1252", "utf-16-le": "UTF-16-LE", "utf-16-be": "UTF-16-BE"}
    assert [notes[encoding] in note for note in table.notes] == ([True] if encoding in notes else [])


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_a_large_table_has_the_same_header_and_rows(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes((TEXT + "A/x.wav,Müller,ß\n" * 20_000).encode(encoding))
    assert read_delimited_header(path) == ["file", "recordist", "location"]
    assert read_delimited(path).rows[-1] == ("A/x.wav", "Müller", "ß")


def test_empty_lines_and_separators_at_the_end_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("\n \nfile,recordist,,\nA/a.wav,Ann,,\n\n,,,\n  ,\nA/b.wav,Bob,,,,\nA/c.wav\n")
    table = read_delimited(tmp_path / "m.csv")
    assert table.rows == [("A/a.wav", "Ann", "", ""), ("A/b.wav", "Bob", "", ""), ("A/c.wav", "", "", "")]
    assert table.notes == []
    assert read_delimited_header(tmp_path / "m.csv") == table.header


def test_repeated_columns_and_cells_without_a_column_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("file,place,place\nA/a.wav,Wood,Lake\nA/b.wav,Wood, near the lake, by night\n")
    table = read_delimited(path)
    assert table.rows[1] == ("A/b.wav", "Wood", "near the lake")
    assert [note.replace(str(path), "m.csv") for note in table.notes] == [
        "m.csv has several columns place; the first of each is used",
        "1 rows of m.csv have more cells than the header, and the surplus is ignored; quote cells that hold ','",
    ]


def test_a_cell_may_be_longer_than_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"file,remark\nA/a.wav,{'x' * 200_000}\n")
    limit = csv.field_size_limit()
    assert len(read_delimited(tmp_path / "m.csv").rows[0][1]) == 200_000
    assert csv.field_size_limit() == limit


def test_columns_are_found_in_upper_or_lower_case(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("File, Recordist ,LAT,Lon\nA/a.wav,Ann,50,8\n")
    (row,) = read_metadata(tmp_path / "m.csv", ColumnSettings())
    assert (row.recording, row.recordist, row.place) == ("A/a.wav", "Ann", "50.000, 8.000")
    table = SourceSettings(type="table", table=str(tmp_path / "urls.csv"))
    (tmp_path / "urls.csv").write_text("URL,Species\nhttps://x.example/a.wav,A\n")
    assert is_downloaded(table)


def test_rows_that_differ_for_one_file_are_noted_and_the_first_is_used(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("file,recordist\na.wav,Ann\na.wav,Bob\nb.wav,Ann\nb.wav,Ann\nc.wav,unknown\nc.wav,\n")
    notes: list[str] = []
    rows = read_metadata(path, ColumnSettings(), notes)
    assert [r.recordist for r in rows] == ["Ann", "Ann", ""]
    assert notes == [f"{path} has rows that differ for 1 files, and the first of each is used, for example a.wav"]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"PK\3\4\0\0\0\0\x81\x8d")
    with pytest.raises(AutobirdError, match=r"m\.csv is not a readable table .*; save it as CSV, TSV or parquet"):
        read_delimited(tmp_path / "m.csv")


def corpus(tmp: Path, table: str, kind: str = "folder", encoding: str = "utf-8") -> tuple[Listing, dict[str, str]]:
    """Return the listing of four files with a metadata table, and the recordist of each recording."""
    root = tmp / "r"
    for name in ("Parus major/A b.wav", "Parus major/Fiofi\u0301o.wav", "Pica pica/2023/c.wav", "Pica pica/d.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    (root / "SOURCES.csv").write_bytes(table.encode(encoding))
    settings = SourceSettings(
        type=kind, root=str(root), table=str(root / "SOURCES.csv") if kind == "table" else None, batches=1
    )
    listing = Listing(source_of(settings, tmp / "c" / "x"), settings)
    rows = csv.reader(listing.manifests.text("grouping").splitlines()[1:])
    return listing, {row[0]: row[1] for row in rows}


def test_paths_of_other_systems_match_their_files(tmp_path: Path) -> None:
    table = (
        "file,recordist\nparus major\\a b.WAV,Ann\n./Parus major/Fiof\u00edo.wav,Bob\nPica pica\\2023\\c.wav,Cid\nPica pica/d.wav,Dan\n"
        "Pica pica/gone.wav,Eve\n"
    )
    listing, recordists = corpus(tmp_path, table)
    assert recordists == {
        "Parus major/A b.wav": "Ann", "Parus major/Fiofi\u0301o.wav": "Bob", "Pica pica/2023/c.wav": "Cid", "Pica pica/d.wav": "Dan",
    }  # fmt: skip
    assert [n.split(", for example")[0] for n in listing.notes] == [
        "3 paths of the metadata table differ from their files in separators, case, spaces or Unicode form",
        "1 rows of the metadata table match no recording",
    ]


def test_a_path_that_may_mean_several_recordings_or_has_another_row_is_not_matched(tmp_path: Path) -> None:
    listing, recordists = corpus(tmp_path, "file,recordist\nPICA PICA/D.WAV,Ann\nPica pica/d.wav,Bob\n")
    assert recordists == {"Pica pica/d.wav": "Bob"}
    assert any(note.startswith("1 rows of the metadata table fit several recordings") for note in listing.notes)


def test_the_files_of_a_table_are_found_under_paths_of_other_systems(tmp_path: Path) -> None:
    table = (
        "file;species\nparus major\\a b.WAV;A\n./Parus major/Fiof\u00edo.wav;A\nPica pica\\2023\\c.wav;B\nPica pica/d.wav;B\n"
        "Pica pica/gone.wav;B\n"
    )
    listing, _ = corpus(tmp_path, table, "table", "utf-16")
    rows = {r["recording"]: r for r in csv.DictReader(listing.manifests.text("0").splitlines())}
    assert rows["parus major\\a b.WAV"]["location"] == "Parus major/A b.wav"
    assert [name for name, row in rows.items() if row["problem"]] == ["Pica pica/gone.wav"]
    assert any(note.startswith("3 paths of the table differ from their files") for note in listing.notes)


def taken_down(tmp: Path, data: bytes) -> TakeDownList:
    (tmp / "down.csv").write_bytes(data)
    return TakeDownList.read(tmp / "down.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    "text", ["kind,value\nrecordist,Jørgen\n", "Kind;Value;\r\n\r\nRecordist;Jørgen;\r\n;;\r\n", "recordist\tJørgen\r"]
)
def test_a_take_down_list_is_read_as_spreadsheets_write_it(encoding: str, text: str, tmp_path: Path) -> None:
    from autobird.sources.base import ListedRecording

    found = taken_down(tmp_path, text.encode(encoding))
    assert len(found.notes()) == 1 + (encoding == "cp1252")
    assert found.covers(ListedRecording("a", "x", ""), RecordingMetadata("a", "Jørgen"))
    assert not found.covers(ListedRecording("a", "x", ""), RecordingMetadata("a", "Ann"))
    assert len(found.notes()) == (encoding == "cp1252")


def test_entries_of_a_take_down_list_that_match_nothing_are_noted(tmp_path: Path) -> None:
    found = taken_down(tmp_path, b"id,XC1\nrecordist,Ann\n")
    assert found.notes() == ["2 entries of corpus.take_down match no recording, for example Ann"]


def unreadable(tmp_path: Path) -> dict[str, Path]:
    """A file that is not text, and one that does not exist."""
    (tmp_path / "binary.csv").write_bytes(b"a\0b,c\n" * 9)
    return {"save it as UTF-8": tmp_path / "binary.csv", "correct the path": tmp_path / "none.csv"}


@pytest.mark.parametrize(
    ("option", "read"),
    [
        ("--codes ", SpeciesCodes),
        ("--names ", lambda path: names_of(["A"], path)),
        ("--species ", lambda path: read_species_list(path, names_of(["A"]))),
        ("--species ", names_in_list),
        ("corpus.take_down: ", TakeDownList.read),
        ("", lambda path: read_selections(path, AnnotationSettings())),
    ],
)
def test_all_tables_and_lists_of_a_user_are_refused_in_the_same_words(
    tmp_path: Path, option: str, read: Callable[[Path], object]
) -> None:
    for remedy, path in unreadable(tmp_path).items():
        with pytest.raises(AutobirdError) as error:
            read(path)
        assert str(error.value).startswith(f"{option}{path} cannot be read (")
        assert str(error.value).endswith(f"); {remedy}")
