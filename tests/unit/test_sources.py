"""Every source lists what it holds, by one interface: the same suite runs against all of them."""

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
from autobird.core.hashing import HashCache, batch_of
from autobird.corpus.listing import TABLES, Listing
from autobird.corpus.settings import CorpusSettings
from autobird.corpus.sources import url, xeno_canto
from autobird.corpus.sources.base import DETAILS, GROUPING, Source
from autobird.corpus.sources.lock import LockMissing, write_lock
from autobird.corpus.sources.metadata import read_metadata
from autobird.corpus.sources.select import is_downloaded, source_of
from autobird.corpus.sources.settings import ColumnSettings
from tests.standins.xeno_canto import entry

FILES = (
    "Corvus_corone/XC1.mp3",
    "Corvus_corone/XC2.mp3",
    "Parus_major/XC3.mp3",
    "Parus_major/XC4.mp3",
    "Parus_major/XC5.wav",
)
LICENCE = {"XC1": "CC0"}


class Known(NamedTuple):
    """A corpus of five recordings of two species, as one source has it."""

    settings: CorpusSettings
    facts: bool = True
    tables: bool = True


def put(root: Path, name: str, data: bytes = b"x") -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    written = 1_600_000_000 + zlib.crc32(name.encode())  # a bucket lists the times of its files
    os.utime(file, (written, written))


def rows(files: tuple[str, ...], **more: str) -> list[dict[str, str]]:
    return [
        {
            "file": f, "species": f.split("/")[0].replace("_", " "), "recordist": "Ann", "date": f"2021-05-0{f[-5]}",
            "location": "Wood", "lat": "50.5", "lon": "8.5", "licence": LICENCE.get(Path(f).stem, "CC BY 4.0"), "remark": "wind",
            "xc_id": Path(f).stem,
        } | more
        for f in files
    ]  # fmt: skip


def write(path: Path, table: list[dict[str, str]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
    return path


def folder(tmp: Path, files: tuple[str, ...]) -> Known:
    for f in files:
        put(tmp / "root", f, f.encode())
    write(tmp / "root/SOURCES.csv", rows(files))
    return Known(CorpusSettings(type="folder", root=str(tmp / "root")))


def table(tmp: Path, files: tuple[str, ...]) -> Known:
    folder(tmp, files)
    return Known(CorpusSettings(type="table", table=str(tmp / "root/SOURCES.csv")))


def tsv(tmp: Path, files: tuple[str, ...]) -> Known:
    folder(tmp, files)
    path = write(tmp / "birds.tsv", rows(files), "\t")
    return Known(CorpusSettings(type="table", table=str(path), root=str(tmp / "root")))


def parquet(tmp: Path, files: tuple[str, ...]) -> Known:
    folder(tmp, files)
    pq.write_table(pa.Table.from_pylist(rows(files)), tmp / "birds.parquet")
    return Known(CorpusSettings(type="table", table=str(tmp / "birds.parquet"), root=str(tmp / "root")))


def urls(tmp: Path, files: tuple[str, ...]) -> Known:
    lines = [{**r, "url": f"https://birds.example/{r['file']}"} for r in rows(files)]
    for line in lines:
        del line["file"]
    return Known(CorpusSettings(type="table", table=str(write(tmp / "urls.csv", lines))))


def annotations(tmp: Path, files: tuple[str, ...]) -> Known:
    known = folder(tmp, files)
    for f in files:
        label = f.split("/")[0].replace("_", " ")
        put(tmp / "root", f.rsplit(".", 1)[0] + ".txt", f"1.0\t2.5\t{label}\n".encode())
    return Known(CorpusSettings(type="annotations", root=known.settings.root))


def xc(tmp: Path, files: tuple[str, ...]) -> Known:
    lock = tmp / "lock.jsonl"
    settings = CorpusSettings(type="xeno_canto", lock=str(lock), xeno_canto={"query": "grp:birds"})
    lines = [
        entry(
            Path(r["file"]).stem[2:], r["species"], Path(r["file"]).name, rec=r["recordist"], date=r["date"], loc=r["location"],
            lat=r["lat"], lon=r["lon"], lic=r["licence"], file=f"//xeno-canto.org/{r['file']}/download", rmk=r["remark"],
        )
        for r in rows(files)
    ]  # fmt: skip
    write_lock(lock, xeno_canto.source_key(settings.xeno_canto), lines, "id")
    return Known(settings)


def kaggle_folder(tmp: Path, files: tuple[str, ...]) -> Known:
    for f in files:
        put(tmp / "data" / "Voice of Birds" / "Voice of Birds", f.replace("/", "_sound/"), f.encode())
    return Known(CorpusSettings(type="kaggle", root=str(tmp / "data")), facts=False)


def kaggle_zip(tmp: Path, files: tuple[str, ...]) -> Known:
    tmp.mkdir(exist_ok=True)
    with zipfile.ZipFile(tmp / "data.zip", "w") as archive:
        for f in files:
            archive.writestr("Voice of Birds/Voice of Birds/" + f.replace("/", "_sound/"), f.encode())
    return Known(CorpusSettings(type="kaggle", root=str(tmp / "data.zip")), facts=False)


def bucket(tmp: Path, files: tuple[str, ...]) -> Known:
    from autobird.corpus.fetch.url import listing

    folder(tmp, files)
    settings = CorpusSettings(type="url", root=f"file://{tmp / 'root'}", lock=str(tmp / "lock.jsonl"))
    write_lock(tmp / "lock.jsonl", url.source_key(settings.root or ""), listing(settings, tmp), "recording")
    return Known(settings)


SOURCES: list[Callable[[Path, tuple[str, ...]], Known]] = [
    folder, table, tsv, parquet, urls, annotations, xc, kaggle_folder, kaggle_zip, bucket,
]  # fmt: skip


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Callable[[Path, tuple[str, ...]], Known]:
    """One of the sources."""
    return request.param


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of the network fails."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def opened(known: Known, tmp: Path) -> Source:
    return source_of(known.settings, tmp / "cache" / "x.sqlite")


def digests(known: Known, tmp: Path, batches: int = 3) -> dict[str, str]:
    found = Listing(opened(known, tmp), known.settings.model_copy(update={"batches": batches}))
    return {t: found.digest(t) for t in (*map(str, range(batches)), *TABLES)}


def test_a_source_lists_each_recording_once_with_what_stands_for_its_bytes(make, tmp_path: Path, offline: None) -> None:
    known = make(tmp_path, FILES)
    listed = list(opened(known, tmp_path).rows())
    ids = [r.recording.replace("_sound", "").removeprefix("birds.example/") for r in listed]
    assert ids == sorted(FILES)
    assert all(r.content and not r.problem for r in listed)
    assert len({r.content for r in listed}) == len(FILES)
    if opened(known, tmp_path).boxes() is None:
        assert {r.species for r in listed} == {"Corvus corone", "Parus major"}
    assert list(opened(known, tmp_path).rows()) == listed


def test_a_source_knows_what_its_table_knows(make, tmp_path: Path, offline: None) -> None:
    known = make(tmp_path, FILES)
    facts = list(opened(known, tmp_path).facts())
    if not known.facts:
        assert facts == []
        return
    assert [f.recording for f in facts] == [r.recording for r in list(opened(known, tmp_path).rows())]
    first = facts[0]
    assert (first.recordist, first.date, first.place, first.licence) == ("Ann", "2021-05-01", "Wood", "CC0")
    assert (first.latitude, first.longitude, first.number) == ("50.5", "8.5", "XC1")
    assert first.page.endswith("xeno-canto.org/1")
    assert "wind" in json.loads(first.extra).values()


def test_an_added_recording_changes_its_batch_alone(make, tmp_path: Path, offline: None) -> None:
    before = digests(make(tmp_path / "a", FILES[:4]), tmp_path)
    known = make(tmp_path / "a", FILES)
    after = digests(known, tmp_path)
    new = next(r.recording for r in list(opened(known, tmp_path).rows()) if r.recording.endswith("XC5.wav"))
    changed = {t for t in before if before[t] != after[t] and t.isdigit()}
    assert changed == {str(batch_of(new, 3))}


def test_a_corrected_licence_changes_the_details_alone(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not make(tmp_path / "probe", FILES).facts:
        pytest.skip("this source knows no licences")
    before = digests(make(tmp_path / "a", FILES), tmp_path)
    monkeypatch.setitem(LICENCE, "XC1", "CC BY-SA 4.0")
    after = digests(make(tmp_path / "a", FILES), tmp_path)
    assert {t for t in before if before[t] != after[t]} == {"details"}


def test_the_names_of_columns_are_where_they_belong() -> None:
    assert set(GROUPING).isdisjoint(DETAILS)


def test_species_are_the_top_folders_and_files_lie_at_any_depth(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    for name in ("Parus_major/a.mp3", "Parus_major/2021/May/b.wav", "Corvus corone/.mp3", "Andean Guan_sound/c.MP3"):
        put(root, name)
    settings = CorpusSettings(type="folder", root=str(root), species_suffix="_sound")
    listed = source_of(settings, tmp_path / "c.sqlite").rows()
    assert [(r.recording, r.species) for r in listed] == [
        ("Andean Guan_sound/c.MP3", "Andean Guan"),
        ("Corvus corone/.mp3", "Corvus corone"),
        ("Parus_major/2021/May/b.wav", "Parus major"),
        ("Parus_major/a.mp3", "Parus major"),
    ]


def in_folder(root: Path) -> Source:
    return source_of(CorpusSettings(type="folder", root=str(root)), root.parent / "cache" / "x.sqlite")


def test_a_species_is_one_however_its_accents_are_encoded(tmp_path: Path) -> None:
    put(tmp_path / "r", "Fiofi\u0301o/a.wav")
    put(tmp_path / "r", "Fiof\u00edo/b.wav")
    assert {r.species for r in in_folder(tmp_path / "r").rows()} == {"Fiof\u00edo"}


def test_files_outside_species_folders_and_unreadable_names_are_rows_with_a_problem(tmp_path: Path) -> None:
    put(tmp_path / "r", "stray.wav")
    put(tmp_path / "r", "A/a.wav")
    try:
        (tmp_path / "r" / "A" / os.fsdecode(b"b\xff.wav")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes no names that are not UTF-8")
    problems = {r.recording: r.problem for r in in_folder(tmp_path / "r").rows()}
    assert problems["A/a.wav"] == ""
    assert "species folder" in problems["stray.wav"]
    assert "not UTF-8" in problems["A/b\\xff.wav"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path / "r", "A/a.wav")
    (tmp_path / "r" / "A" / "loop").symlink_to(tmp_path / "r")
    assert [r.recording for r in in_folder(tmp_path / "r").rows()] == ["A/a.wav"]


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
    names = [f"A/{i}.wav" for i in range(4000)]
    found = [batch_of(name, 8) for name in names]
    assert found == [int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) % 8 for name in names]
    assert min(np.bincount(found)) > 400


def test_metadata_is_read_by_column_names_and_the_first_row_of_a_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "\ufefffile,rec,date,licence\nA/a.wav,Ann,2021-05-01,CC0\nA/a.wav,Bob,,\n,Nobody,,\n", encoding="utf-8"
    )
    facts = read_metadata(path, ColumnSettings(recordist="rec"))
    assert len(facts) == 1
    assert (facts[0].recordist, facts[0].date, facts[0].place, facts[0].licence) == ("Ann", "2021-05-01", "", "CC0")


def test_a_place_may_be_known_by_its_coordinates_and_a_day_that_never_was_is_unknown(tmp_path: Path) -> None:
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
        (b"file,recordist\nA/a.wav,J\xf8rgen\n", {}, "not UTF-8"),
    ],
)
def test_a_wrong_metadata_table_is_refused_with_the_remedy(
    tmp_path: Path, text: bytes, columns: dict[str, str], message: str
) -> None:
    (tmp_path / "m.csv").write_bytes(text)
    with pytest.raises(AutobirdError, match=message):
        read_metadata(tmp_path / "m.csv", ColumnSettings(**columns))


def test_every_line_of_a_table_is_a_row_whatever_is_wrong_with_it(tmp_path: Path) -> None:
    put(tmp_path, "a.wav", b"sound")
    lines = [
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
    settings = CorpusSettings(type="table", table=str(write(tmp_path / "t.csv", lines)))
    listed = list(source_of(settings, tmp_path / "c" / "x.sqlite").rows())
    assert len(listed) == len(lines) == len({r.recording for r in listed})
    problems = {r.recording: r.problem for r in listed}
    assert problems["a.wav"] == problems["a.wav#1-2.5"] == ""
    assert "does not lie before" in problems["a.wav#3-2"]
    assert "does not lie before" in problems["a.wav#3-3"]
    assert "no number" in problems["a.wav#x-"]
    assert "same id" in problems["a.wav#again-line-6"]
    assert "no such file" in problems["gone.wav"]
    assert "names no file" in problems["line 8"]
    assert "sha256" in problems["a.wav#0-9"]
    excerpt = next(r for r in listed if r.recording == "a.wav#1-2.5")
    assert (excerpt.location, excerpt.start, excerpt.end, excerpt.species) == ("a.wav", "1", "2.5", "Parus major")


def test_a_lock_of_another_query_is_refused_until_it_is_refreshed(tmp_path: Path) -> None:
    known = xc(tmp_path, FILES)
    other = known.settings.model_copy(
        update={"xeno_canto": known.settings.xeno_canto.model_copy(update={"query": "q:A"})}
    )
    with pytest.raises(LockMissing, match="refresh_sources"):
        source_of(other, tmp_path / "c")
    (tmp_path / "lock.jsonl").unlink()
    with pytest.raises(LockMissing, match=r"lock\.jsonl is not there; `snakemake refresh_sources`"):
        source_of(known.settings, tmp_path / "c")
    (tmp_path / "lock.jsonl").write_text("{nonsense")
    with pytest.raises(AutobirdError, match="damaged"):
        source_of(known.settings, tmp_path / "c")


def test_the_filters_of_xeno_canto_pass_over_what_they_say_and_count_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock.jsonl"
    lines = [
        entry(str(i), "Parus major", f"{i}.mp3", q="ABCDE"[i % 5], length=f"0:{10 + i}", file="https://x/y", also=["Pica pica"] if i == 7 else [])
        for i in range(10)
    ] + [entry("99", "Corvus corone", "99.mp3", length="1:00:00", file="")]  # fmt: skip
    wanted = {"query": "x", "quality": ["A", "B", "C"], "min_length": 11, "max_length": 1000, "no_background": True, "max_per_species": 2}  # fmt: skip
    settings = CorpusSettings(type="xeno_canto", lock=str(lock), xeno_canto=wanted)
    write_lock(lock, xeno_canto.source_key(settings.xeno_canto), lines, "id")
    source = source_of(settings, tmp_path / "c")
    # Of 0 to 9, 0 is too short, 7 has a background species, the grades of 3, 4, 8 and 9 are D and E; A goes before B.
    kept = [r.recording for r in source.rows()]
    assert len(kept) == 2
    assert "Parus_major/XC5.mp3" in kept
    assert set(kept) - {"Parus_major/XC5.mp3"} < {f"Parus_major/XC{i}.mp3" for i in (1, 6)}
    passed = {"quality": 4, "min_length": 1, "max_length": 1, "no_background": 1, "max_per_species": 2}
    assert sorted(source.notes()) == sorted(
        f"{n} of 11 recordings of the lock are passed over: xeno_canto.{key}" for key, n in passed.items()
    )
    everything = settings.model_copy(update={"xeno_canto": type(settings.xeno_canto)(query="x", max_length=9999)})
    rows_ = source_of(everything, tmp_path / "c").rows()
    assert len(rows_) == 11
    assert "keeps its sound back" in next(r.problem for r in rows_ if r.recording.startswith("Corvus"))


def test_what_is_downloaded_and_what_is_read_where_it_lies(tmp_path: Path) -> None:
    remote = {m.__name__ for m in SOURCES if is_downloaded(m(tmp_path / m.__name__, FILES).settings)}
    assert remote == {"urls", "xc", "kaggle_zip", "bucket"}


def test_kaggle_without_a_folder_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    settings = CorpusSettings(type="kaggle")
    with pytest.raises(LockMissing, match=r"version 1 is not on this machine; run `snakemake refresh_sources`"):
        source_of(settings, tmp_path / "c")
    there = tmp_path / "hub/datasets/soumendraprasad/sound-of-114-species-of-birds-till-2022/versions/1/Voice of Birds"
    put(there, "Andean Guan_sound/Andean Guan2.mp3")
    assert [r.species for r in source_of(settings, tmp_path / "c").rows()] == ["Andean Guan"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds no recordings"),
        (("A/a.wav",), r"fewer than two species \(A\)"),
        (("a.wav",), r"two species \(none\)"),
    ],
)
def test_a_folder_that_cannot_become_a_classifier_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    root = tmp_path / "r"
    root.mkdir()
    for name in names:
        put(root, name)
    with pytest.raises(AutobirdError, match=message):
        Listing(in_folder(root), CorpusSettings(type="folder", root=str(root))).check()


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AutobirdError, match="is not a folder"):
        in_folder(tmp_path / "gone")


def test_the_demo_lists_its_recipes_without_making_a_sound(tmp_path: Path) -> None:
    settings = CorpusSettings(demo={"species": 3, "recordings": 5}, batches=2)
    listing = Listing(source_of(settings, tmp_path / "c"), settings)
    assert listing.count == 15
    assert len(listing.species) == 3
    assert "demo:7-" in listing.text("0") + listing.text("1")
    assert not list(tmp_path.iterdir())
