"""Sources list every file, with the species its folder names and what the metadata knows."""

import os
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.core.hashing import HashCache, batch_of
from autobird.corpus.metadata import DETAILS, GROUPING, read_metadata
from autobird.corpus.rows import Listing
from autobird.corpus.settings import ColumnSettings, CorpusSettings, DemoSettings
from autobird.corpus.sources import FolderSource, source_of


def folder(root: Path, **settings: object) -> FolderSource:
    return FolderSource(CorpusSettings(type="folder", root=str(root), **settings), root.parent / "cache" / "x.sqlite")


def put(root: Path, name: str, data: bytes = b"x") -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def test_species_are_the_top_folders_and_files_lie_at_any_depth(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    for name in ("Parus_major/a.mp3", "Parus_major/2021/May/b.wav", "Corvus corone/.mp3", "Andean Guan_sound/c.MP3"):
        put(root, name)
    rows = folder(root, species_suffix="_sound").rows()
    assert [(r.recording, r.species) for r in rows] == [
        ("Andean Guan_sound/c.MP3", "Andean Guan"),
        ("Corvus corone/.mp3", "Corvus corone"),
        ("Parus_major/2021/May/b.wav", "Parus major"),
        ("Parus_major/a.mp3", "Parus major"),
    ]
    assert all(r.content.startswith("sha256:") and not r.problem for r in rows)


def test_a_species_is_one_however_its_accents_are_encoded(tmp_path: Path) -> None:
    put(tmp_path / "r", "Fiofi\u0301o/a.wav")
    put(tmp_path / "r", "Fiof\u00edo/b.wav")
    assert {r.species for r in folder(tmp_path / "r").rows()} == {"Fiof\u00edo"}


def test_files_outside_species_folders_and_unreadable_names_are_rows_with_a_problem(tmp_path: Path) -> None:
    put(tmp_path / "r", "stray.wav")
    put(tmp_path / "r", "A/a.wav")
    try:
        (tmp_path / "r" / "A" / os.fsdecode(b"b\xff.wav")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes no names that are not UTF-8")
    problems = {r.recording: r.problem for r in folder(tmp_path / "r").rows()}
    assert problems["A/a.wav"] == ""
    assert "species folder" in problems["stray.wav"]
    assert "not UTF-8" in problems["A/b\\xff.wav"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path / "r", "A/a.wav")
    (tmp_path / "r" / "A" / "loop").symlink_to(tmp_path / "r")
    assert [r.recording for r in folder(tmp_path / "r").rows()] == ["A/a.wav"]


def test_a_file_replaced_under_the_same_name_size_and_time_has_another_hash(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"one")
    with HashCache(tmp_path / "c.sqlite") as cache:
        before = cache.sha256([file])
        assert cache.sha256([file]) == before
        stat = file.stat()
        file.write_bytes(b"two")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert cache.sha256([file]) != before
        assert cache.sha256([tmp_path / "gone"]) == [None]


def test_the_batch_of_a_recording_follows_from_its_id_alone() -> None:
    counts = [0] * 8
    for i in range(4000):
        counts[batch_of(f"A/{i}.wav", 8)] += 1
    assert min(counts) > 400


def test_metadata_is_read_by_column_names_and_the_first_row_of_a_file_counts(tmp_path: Path) -> None:
    table = tmp_path / "m.csv"
    table.write_text(
        "\ufefffile,rec,date,licence\nA/a.wav,Ann,2021-05-01,CC0\nA/a.wav,Bob,,\n,Nobody,,\n", encoding="utf-8"
    )
    facts = read_metadata(table, ColumnSettings(recordist="rec"))
    assert len(facts) == 1
    assert (facts[0].recordist, facts[0].date, facts[0].place, facts[0].licence) == ("Ann", "2021-05-01", "", "CC0")


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (b"file,recordist\n", {"recordist": "recordst"}, "no column 'recordst'; did you mean 'recordist'"),
        (b"name,recordist\n", {}, r"no column 'file'"),
        (b"file,recordist\nA/a.wav,J\xf8rgen\n", {}, "not UTF-8"),
    ],
)
def test_a_wrong_metadata_table_is_refused_with_the_remedy(
    tmp_path: Path, text: bytes, columns: dict[str, str], message: str
) -> None:
    (tmp_path / "m.csv").write_bytes(text)
    with pytest.raises(AutobirdError, match=message):
        read_metadata(tmp_path / "m.csv", ColumnSettings(**columns))


def test_each_correction_changes_just_its_own_tables_digest(tmp_path: Path) -> None:
    root = tmp_path / "r"
    put(root, "A/a.wav")
    put(root, "B/b.wav")
    header = "file,recordist,date,location,licence\n"

    def digests(line: str) -> dict[str, str]:
        (root / "SOURCES.csv").write_text(header + line)
        listing = Listing(folder(root), 2)
        return {t: listing.digest(t) for t in ("0", "1", "grouping", "details")}

    first = digests("A/a.wav,Ann,2021-05-01,Wood,CC0\n")
    licence = digests("A/a.wav,Ann,2021-05-01,Wood,CC-BY\n")
    name = digests("A/a.wav,Anna,2021-05-01,Wood,CC0\n")
    assert {t for t in first if first[t] != licence[t]} == {"details"}
    assert {t for t in first if first[t] != name[t]} == {"grouping"}
    assert set(GROUPING).isdisjoint(DETAILS)


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "holds no files"), (("A/a.wav",), "holds one species"), (("a.wav",), "no species folder")],
)
def test_a_folder_that_cannot_become_a_classifier_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    root = tmp_path / "r"
    root.mkdir()
    for name in names:
        put(root, name)
    source = folder(root)
    with pytest.raises(AutobirdError, match=message):
        Listing(source, 2).check(source.settings)


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AutobirdError, match="is not a folder"):
        folder(tmp_path / "gone")


def test_the_demo_lists_its_recipes_without_making_a_sound(tmp_path: Path) -> None:
    settings = CorpusSettings(demo=DemoSettings(species=3, recordings=5))
    listing = Listing(source_of(settings, tmp_path / "c"), 2)
    assert len(listing.all) == 15
    assert len(listing.species) == 3
    assert all(r.content.startswith("demo:7-") for r in listing.all)
    assert not list(tmp_path.iterdir())
