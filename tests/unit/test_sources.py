"""The interface of the sources: the same tests run on every source, then tests of single sources."""

import csv
import hashlib
import json
import os
import socket
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autobird.core.errors import AutobirdError
from autobird.core.hashing import HashCache, batch_names, batch_of
from autobird.corpus.settings import CorpusSettings
from autobird.sources import url, xeno_canto
from autobird.sources.base import DETAIL_COLUMNS, GROUPING_COLUMNS, Source
from autobird.sources.listing import CORPUS_TABLES, Listing
from autobird.sources.lock import LockMissing, write_lock
from autobird.sources.metadata import read_metadata
from autobird.sources.select import is_downloaded, source_of
from autobird.sources.settings import ColumnSettings
from tests.standins.xeno_canto import entry

FILES = (
    "Corvus_corone/XC1.mp3",
    "Corvus_corone/XC2.mp3",
    "Parus_major/XC3.mp3",
    "Parus_major/XC4.mp3",
    "Parus_major/XC5.wav",
)
LICENCES = {"XC1": "CC0"}
"""Licences of recordings; the others have CC BY 4.0."""


class Example(NamedTuple):
    """A corpus of five recordings of two species in one source, and whether that gives their metadata."""

    settings: CorpusSettings
    has_metadata: bool = True


def write_file(root: Path, name: str, data: bytes = b"x") -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    written = 1_600_000_000 + zlib.crc32(
        name.encode()
    )  # fixed for each name, because a bucket lists the times of its files
    os.utime(file, (written, written))


def metadata_rows(files: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {
            "file": f, "species": f.split("/")[0].replace("_", " "), "recordist": "Ann", "date": f"2021-05-0{f[-5]}",
            "location": "Wood", "lat": "50.5", "lon": "8.5", "licence": LICENCES.get(Path(f).stem, "CC BY 4.0"), "remark": "wind",
            "xc_id": Path(f).stem,
        }
        for f in files
    ]  # fmt: skip


def write_table(path: Path, table: list[dict[str, str]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
    return path


def folder(tmp: Path, files: tuple[str, ...]) -> Example:
    for f in files:
        write_file(tmp / "root", f, f.encode())
    write_table(tmp / "root/SOURCES.csv", metadata_rows(files))
    return Example(CorpusSettings(type="folder", root=str(tmp / "root")))


def table(tmp: Path, files: tuple[str, ...]) -> Example:
    folder(tmp, files)
    return Example(CorpusSettings(type="table", table=str(tmp / "root/SOURCES.csv")))


def tsv(tmp: Path, files: tuple[str, ...]) -> Example:
    folder(tmp, files)
    path = write_table(tmp / "birds.tsv", metadata_rows(files), "\t")
    return Example(CorpusSettings(type="table", table=str(path), root=str(tmp / "root")))


def parquet(tmp: Path, files: tuple[str, ...]) -> Example:
    folder(tmp, files)
    pq.write_table(pa.Table.from_pylist(metadata_rows(files)), tmp / "birds.parquet")
    return Example(CorpusSettings(type="table", table=str(tmp / "birds.parquet"), root=str(tmp / "root")))


def urls(tmp: Path, files: tuple[str, ...]) -> Example:
    lines = [{**r, "url": f"https://birds.example/{r['file']}"} for r in metadata_rows(files)]
    for line in lines:
        del line["file"]
    return Example(CorpusSettings(type="table", table=str(write_table(tmp / "urls.csv", lines))))


def annotations(tmp: Path, files: tuple[str, ...]) -> Example:
    example = folder(tmp, files)
    for f in files:
        label = f.split("/")[0].replace("_", " ")
        write_file(tmp / "root", f.rsplit(".", 1)[0] + ".txt", f"1.0\t2.5\t{label}\n".encode())
    return Example(CorpusSettings(type="annotations", root=example.settings.root))


def xc(tmp: Path, files: tuple[str, ...]) -> Example:
    lock = tmp / "lock.jsonl"
    settings = CorpusSettings(type="xeno_canto", lock=str(lock), xeno_canto={"query": "grp:birds"})
    lines = [
        entry(
            Path(r["file"]).stem[2:], r["species"], Path(r["file"]).name, rec=r["recordist"], date=r["date"], loc=r["location"],
            lat=r["lat"], lon=r["lon"], lic=r["licence"], file=f"//xeno-canto.org/{r['file']}/download", rmk=r["remark"],
        )
        for r in metadata_rows(files)
    ]  # fmt: skip
    write_lock(lock, xeno_canto.source_key(settings.xeno_canto), lines, "id")
    return Example(settings)


def kaggle_folder(tmp: Path, files: tuple[str, ...]) -> Example:
    for f in files:
        write_file(tmp / "data" / "Voice of Birds" / "Voice of Birds", f.replace("/", "_sound/"), f.encode())
    return Example(CorpusSettings(type="kaggle", root=str(tmp / "data")), has_metadata=False)


def kaggle_zip(tmp: Path, files: tuple[str, ...]) -> Example:
    tmp.mkdir(exist_ok=True)
    with zipfile.ZipFile(tmp / "data.zip", "w") as archive:
        for f in files:
            archive.writestr("Voice of Birds/Voice of Birds/" + f.replace("/", "_sound/"), f.encode())
    return Example(CorpusSettings(type="kaggle", root=str(tmp / "data.zip")), has_metadata=False)


def bucket(tmp: Path, files: tuple[str, ...]) -> Example:
    from autobird.sources.fetch.url import list_recordings

    folder(tmp, files)
    settings = CorpusSettings(type="url", root=f"file://{tmp / 'root'}", lock=str(tmp / "lock.jsonl"))
    write_lock(tmp / "lock.jsonl", url.source_key(settings.root or ""), list_recordings(settings, tmp), "recording")
    return Example(settings)


SOURCES: list[Callable[[Path, tuple[str, ...]], Example]] = [
    folder, table, tsv, parquet, urls, annotations, xc, kaggle_folder, kaggle_zip, bucket,
]  # fmt: skip


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Callable[[Path, tuple[str, ...]], Example]:
    """A function that makes the example corpus for one source."""
    return request.param


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every use of the network fails."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def opened(example: Example, tmp: Path) -> Source:
    return source_of(example.settings, tmp / "cache" / "x.sqlite")


def digests(example: Example, tmp: Path, batches: int = 3) -> dict[str, str]:
    listing = Listing(opened(example, tmp), example.settings.model_copy(update={"batches": batches}))
    return {t: listing.manifests.digest(t) for t in (*map(str, range(batches)), *CORPUS_TABLES)}


def test_a_source_lists_each_recording_once_with_an_identifier_of_its_content(
    make, tmp_path: Path, offline: None
) -> None:
    example = make(tmp_path, FILES)
    listed = list(opened(example, tmp_path).recordings())
    ids = [r.recording.replace("_sound", "").removeprefix("birds.example/") for r in listed]
    assert ids == sorted(FILES)
    assert all(r.content and not r.problem for r in listed)
    assert len({r.content for r in listed}) == len(FILES)
    if opened(example, tmp_path).boxes() is None:
        assert {r.species for r in listed} == {"Corvus corone", "Parus major"}
    assert list(opened(example, tmp_path).recordings()) == listed


def test_a_source_gives_the_metadata_of_its_table(make, tmp_path: Path, offline: None) -> None:
    example = make(tmp_path, FILES)
    metadata = list(opened(example, tmp_path).metadata())
    if not example.has_metadata:
        assert metadata == []
        return
    assert [m.recording for m in metadata] == [r.recording for r in list(opened(example, tmp_path).recordings())]
    first = metadata[0]
    assert (first.recordist, first.date, first.place, first.licence) == ("Ann", "2021-05-01", "Wood", "CC0")
    assert (first.latitude, first.longitude, first.number) == ("50.5", "8.5", "XC1")
    assert first.page.endswith("xeno-canto.org/1")
    assert "wind" in json.loads(first.extra).values()


def test_an_added_recording_changes_only_its_batch(make, tmp_path: Path, offline: None) -> None:
    before = digests(make(tmp_path / "a", FILES[:4]), tmp_path)
    example = make(tmp_path / "a", FILES)
    after = digests(example, tmp_path)
    new = next(r.recording for r in list(opened(example, tmp_path).recordings()) if r.recording.endswith("XC5.wav"))
    changed = {t for t in before if before[t] != after[t] and t.isdigit()}
    assert changed == {str(batch_of(new, 3))}


def test_a_corrected_licence_changes_only_the_details(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not make(tmp_path / "probe", FILES).has_metadata:
        pytest.skip("the source has no licences")
    before = digests(make(tmp_path / "a", FILES), tmp_path)
    monkeypatch.setitem(LICENCES, "XC1", "CC BY-SA 4.0")
    after = digests(make(tmp_path / "a", FILES), tmp_path)
    assert {t for t in before if before[t] != after[t]} == {"details"}


def test_no_column_is_in_both_tables_of_metadata() -> None:
    assert set(GROUPING_COLUMNS).isdisjoint(DETAIL_COLUMNS)


def test_the_top_folder_is_the_species_and_files_may_be_at_any_depth(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    for name in ("Parus_major/a.mp3", "Parus_major/2021/May/b.wav", "Corvus corone/.mp3", "Andean Guan_sound/c.MP3"):
        write_file(root, name)
    settings = CorpusSettings(type="folder", root=str(root), species_suffix="_sound")
    listed = source_of(settings, tmp_path / "c.sqlite").recordings()
    assert [(r.recording, r.species) for r in listed] == [
        ("Andean Guan_sound/c.MP3", "Andean Guan"),
        ("Corvus corone/.mp3", "Corvus corone"),
        ("Parus_major/2021/May/b.wav", "Parus major"),
        ("Parus_major/a.mp3", "Parus major"),
    ]


def folder_source(root: Path) -> Source:
    return source_of(CorpusSettings(type="folder", root=str(root)), root.parent / "cache" / "x.sqlite")


def test_composed_and_decomposed_accents_give_the_same_species(tmp_path: Path) -> None:
    write_file(tmp_path / "r", "Fiofi\u0301o/a.wav")
    write_file(tmp_path / "r", "Fiof\u00edo/b.wav")
    assert {r.species for r in folder_source(tmp_path / "r").recordings()} == {"Fiof\u00edo"}


def test_files_outside_species_folders_and_names_that_are_not_utf8_have_a_problem(tmp_path: Path) -> None:
    write_file(tmp_path / "r", "stray.wav")
    write_file(tmp_path / "r", "A/a.wav")
    try:
        (tmp_path / "r" / "A" / os.fsdecode(b"b\xff.wav")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    problems = {r.recording: r.problem for r in folder_source(tmp_path / "r").recordings()}
    assert problems["A/a.wav"] == ""
    assert "species folder" in problems["stray.wav"]
    assert "not UTF-8" in problems["A/b\\xff.wav"]


@pytest.mark.skipif(os.name == "nt", reason="creating links needs a privilege on Windows")
def test_a_folder_is_visited_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    write_file(tmp_path / "r", "A/a.wav")
    (tmp_path / "r" / "A" / "loop").symlink_to(tmp_path / "r")
    assert [r.recording for r in folder_source(tmp_path / "r").recordings()] == ["A/a.wav"]


def test_a_replaced_file_of_the_same_name_size_and_time_is_hashed_again(tmp_path: Path) -> None:
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


def test_the_batch_of_a_recording_depends_on_the_hash_of_its_id() -> None:
    names = [f"A/{i}.wav" for i in range(4000)]
    found = [batch_of(name, 8) for name in names]
    assert found == [int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) % 8 for name in names]
    assert min(np.bincount(found)) > 400


def test_the_names_of_batches_sort_by_their_numbers() -> None:
    assert batch_names(1) == ["0"]
    assert batch_names(10) == [str(batch) for batch in range(10)]
    names = batch_names(11)
    assert names[:2] == ["00", "01"]
    assert names[-1] == "10"
    assert sorted(names) == names


def test_metadata_is_read_by_column_names_and_the_first_row_of_a_file_is_used(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "\ufefffile,rec,date,licence\nA/a.wav,Ann,2021-05-01,CC0\nA/a.wav,Bob,,\n,Nobody,,\n", encoding="utf-8"
    )
    (metadata,) = read_metadata(path, ColumnSettings(recordist="rec"))
    assert (metadata.recordist, metadata.date, metadata.place, metadata.licence) == ("Ann", "2021-05-01", "", "CC0")


def test_coordinates_give_a_place_and_a_date_of_zeros_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("file;date;lat;lon\na.wav;0000-00-00;50.12345;8.1\nb.wav;1997-11-00;x;y\n")
    first, second = read_metadata(path, ColumnSettings())
    assert (first.date, first.place) == ("", "50.123, 8.100")
    assert (second.date, second.place) == ("1997-11-00", "")


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (b"file,recordist\n", {"recordist": "recordst"}, "no column 'recordst'; did you mean 'recordist'"),
        (b"name,recordist\n", {}, r"no column 'file'"),
        (b"file,recordist\nA/a.wav,\0\1\2\n", {}, "it holds bytes of value zero, so it is not text"),
    ],
)
def test_a_wrong_metadata_table_is_refused_with_the_remedy(
    tmp_path: Path, text: bytes, columns: dict[str, str], message: str
) -> None:
    (tmp_path / "m.csv").write_bytes(text)
    with pytest.raises(AutobirdError, match=message):
        read_metadata(tmp_path / "m.csv", ColumnSettings(**columns))


def test_every_row_of_a_table_is_listed_whatever_is_wrong_with_it(tmp_path: Path) -> None:
    write_file(tmp_path, "a.wav", b"audio")
    table_rows = [
        {"file": "a.wav", "species": "Parus_major", "start": "", "end": "", "sha256": ""},
        {"file": "a.wav", "species": "Parus_major", "start": "1", "end": "2.5", "sha256": ""},
        {"file": "a.wav", "species": "Parus_major", "start": "3", "end": "2", "sha256": ""},
        {"file": "a.wav", "species": "Parus_major", "start": "x", "end": "", "sha256": ""},
        {"file": "a.wav", "species": "Corvus corone", "start": "", "end": "", "sha256": ""},
        {"file": "gone.wav", "species": "Corvus corone", "start": "", "end": "", "sha256": ""},
        {"file": "", "species": "Corvus corone", "start": "", "end": "", "sha256": ""},
        {"file": "a.wav", "species": "Corvus corone", "start": "0", "end": "9", "sha256": "0" * 64},
        {"file": "a.wav", "species": "Corvus corone", "start": "3", "end": "3", "sha256": ""},
    ]
    settings = CorpusSettings(type="table", table=str(write_table(tmp_path / "t.csv", table_rows)))
    listed = list(source_of(settings, tmp_path / "c" / "x.sqlite").recordings())
    assert len(listed) == len(table_rows) == len({r.recording for r in listed})
    problems = {r.recording: r.problem for r in listed}
    assert problems["a.wav"] == problems["a.wav#1-2.5"] == ""
    assert "not before end" in problems["a.wav#3-2"]
    assert "not before end" in problems["a.wav#3-3"]
    assert "is not a number" in problems["a.wav#x-"]
    assert "same id" in problems["a.wav#again-line-6"]
    assert "does not exist" in problems["gone.wav"]
    assert "gives no file" in problems["line 8"]
    assert "sha256" in problems["a.wav#0-9"]
    excerpt = next(r for r in listed if r.recording == "a.wav#1-2.5")
    assert (excerpt.location, excerpt.start, excerpt.end, excerpt.species) == ("a.wav", "1", "2.5", "Parus major")


def test_a_lock_file_of_another_query_is_refused_until_it_is_refreshed(tmp_path: Path) -> None:
    example = xc(tmp_path, FILES)
    other = example.settings.model_copy(
        update={"xeno_canto": example.settings.xeno_canto.model_copy(update={"query": "q:A"})}
    )
    with pytest.raises(LockMissing, match="refresh_sources"):
        source_of(other, tmp_path / "c")
    (tmp_path / "lock.jsonl").unlink()
    with pytest.raises(LockMissing, match=r"lock\.jsonl does not exist; write it with `snakemake refresh_sources`"):
        source_of(example.settings, tmp_path / "c")
    (tmp_path / "lock.jsonl").write_text("{nonsense")
    with pytest.raises(AutobirdError, match="damaged"):
        source_of(example.settings, tmp_path / "c")


def test_the_filters_of_xeno_canto_leave_out_recordings_and_count_them(tmp_path: Path) -> None:
    lock = tmp_path / "lock.jsonl"
    entries = [
        entry(str(i), "Parus major", f"{i}.mp3", q="ABCDE"[i % 5], length=f"0:{10 + i}", file="https://x/y", also=["Pica pica"] if i == 7 else [])
        for i in range(10)
    ] + [entry("99", "Corvus corone", "99.mp3", length="1:00:00", file="")]  # fmt: skip
    filters = {"query": "x", "quality": ["A", "B", "C"], "min_length": 11, "max_length": 1000, "no_background": True, "max_per_species": 2}  # fmt: skip
    settings = CorpusSettings(type="xeno_canto", lock=str(lock), xeno_canto=filters)
    write_lock(lock, xeno_canto.source_key(settings.xeno_canto), entries, "id")
    source = source_of(settings, tmp_path / "c")
    # Of the recordings 0 to 9, 0 is too short, 7 has a background species, and 3, 4, 8 and 9 have the grades D and E.
    # Of the remaining 1, 2, 5 and 6, the only one of grade A is selected first.
    selected = [r.recording for r in source.recordings()]
    assert len(selected) == 2
    assert "Parus_major/XC5.mp3" in selected
    assert set(selected) - {"Parus_major/XC5.mp3"} < {f"Parus_major/XC{i}.mp3" for i in (1, 6)}
    filtered = {"quality": 4, "min_length": 1, "max_length": 1, "no_background": 1, "max_per_species": 2}
    assert sorted(source.notes()) == sorted(
        f"xeno_canto.{key} leaves out {n} of 11 recordings" for key, n in filtered.items()
    )
    unfiltered = settings.model_copy(update={"xeno_canto": type(settings.xeno_canto)(query="x", max_length=9999)})
    recordings = source_of(unfiltered, tmp_path / "c").recordings()
    assert len(recordings) == 11
    assert "restricts access" in next(r.problem for r in recordings if r.recording.startswith("Corvus"))


def test_which_sources_are_downloaded(tmp_path: Path) -> None:
    downloaded = {m.__name__ for m in SOURCES if is_downloaded(m(tmp_path / m.__name__, FILES).settings)}
    assert downloaded == {"urls", "xc", "kaggle_zip", "bucket"}


def test_a_kaggle_data_set_that_was_not_downloaded_is_an_error_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    settings = CorpusSettings(type="kaggle")
    with pytest.raises(LockMissing, match=r"version 1 is not on this machine; run `snakemake refresh_sources`"):
        source_of(settings, tmp_path / "c")
    data_set = (
        tmp_path / "hub/datasets/soumendraprasad/sound-of-114-species-of-birds-till-2022/versions/1/Voice of Birds"
    )
    write_file(data_set, "Andean Guan_sound/Andean Guan2.mp3")
    assert [r.species for r in source_of(settings, tmp_path / "c").recordings()] == ["Andean Guan"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds no recordings"),
        (("A/a.wav",), r"fewer than two species \(A\)"),
        (("a.wav",), r"two species \(none\)"),
    ],
)
def test_a_folder_without_recordings_or_with_fewer_than_two_species_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    root = tmp_path / "r"
    root.mkdir()
    for name in names:
        write_file(root, name)
    with pytest.raises(AutobirdError, match=message):
        Listing(folder_source(root), CorpusSettings(type="folder", root=str(root))).check()


def test_a_root_that_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AutobirdError, match="is not a folder"):
        folder_source(tmp_path / "gone")


def test_the_demo_is_listed_without_synthesising_it(tmp_path: Path) -> None:
    settings = CorpusSettings(demo={"species": 3, "recordings": 5, "negatives": 2, "other_birds": 1}, batches=2)
    listing = Listing(source_of(settings, tmp_path / "c"), settings)
    assert listing.count == 18
    assert len(listing.species) == 3
    assert "demo:7-" in listing.manifests.text("0") + listing.manifests.text("1")
    assert not list(tmp_path.iterdir())
