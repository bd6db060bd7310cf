"""Several sources in a run, and `corpus.negatives`: ids, places of the files, splits, kinds, and what is refused."""

import csv
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from autobird.audio import pack
from autobird.audio.access import RecordingLocation, RecordingRoots, TarMember, audio_sources, local_location
from autobird.config import Config, load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import read_rows
from autobird.core.hashing import file_digest
from autobird.corpus.settings import CorpusSettings
from autobird.dataset.recorder_names import file_path
from autobird.sources import download, xeno_canto
from autobird.sources.base import ANNOTATED, NEGATIVE
from autobird.sources.listing import Listing
from autobird.sources.lock import LockMissing, write_lock
from autobird.sources.select import archives_of, folders_of, source_of, storages_of
from autobird.synth.synthesise import demo_rows
from tests.standins.xeno_canto import entry


def write(root: Path, *names: str) -> Path:
    """Write a short recording of its own for each name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(map(ord, str(path)))
        sf.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 800), 16000, format="WAV")
    return root


def listed(tmp_path: Path, **settings: Any) -> Listing:
    corpus = CorpusSettings(batches=1, **settings)
    return Listing(source_of(corpus, tmp_path / "cache.sqlite"), corpus)


def rows(listing: Listing, table: str = "0") -> list[dict[str, str]]:
    return list(csv.DictReader(listing.manifests.text(table).splitlines()))


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    """A folder of species, another one in other spelling, and one of noise."""
    return {
        "near": write(tmp_path / "near", "Parus_major/a.wav", "noise/b.wav"),
        "far": write(tmp_path / "far", "parus major/a.wav", "Pica pica/50 % #1?.wav", "parus major/c.wav"),
        "quiet": write(tmp_path / "quiet", "x/deep/r.wav", "top.wav"),
    }


def three(roots: dict[str, Path], **far: Any) -> list[dict[str, Any]]:
    return [
        {"name": "near", "type": "folder", "root": str(roots["near"])},
        {"name": "far", "type": "folder", "root": str(roots["far"])} | far,
        {"name": "quiet", "type": "folder", "root": str(roots["quiet"]), "negative": True},
    ]


def test_ids_begin_with_the_name_and_spellings_are_unified_over_all_sources(
    tmp_path: Path, roots: dict[str, Path]
) -> None:
    listing = listed(tmp_path, sources=three(roots))
    found = {row["recording"]: (row["species"], row["problem"]) for row in rows(listing)}
    assert found == {
        "far/Pica pica/50 % #1?.wav": ("Pica pica", ""),
        "far/parus major/a.wav": ("parus major", ""),
        "far/parus major/c.wav": ("parus major", ""),
        "near/Parus_major/a.wav": ("parus major", ""),
        "near/noise/b.wav": ("", ""),
        "quiet/top.wav": ("", ""),
        "quiet/x/deep/r.wav": ("", ""),
    }
    assert list(found) == sorted(found)
    kinds = {row["recording"]: row["kind"] for row in rows(listing, "kinds")}
    assert kinds == dict.fromkeys(("near/noise/b.wav", "quiet/top.wav", "quiet/x/deep/r.wav"), NEGATIVE)
    assert listing.species == ["Pica pica", "parus major"]


def test_every_recording_is_found_below_the_folder_of_its_source(tmp_path: Path, roots: dict[str, Path]) -> None:
    listing = listed(tmp_path, sources=three(roots))
    folders = RecordingRoots.parse(folders_of(CorpusSettings(sources=three(roots))))
    table = rows(listing)
    found = audio_sources([RecordingLocation.from_row(row) for row in table], folders, [])
    for row, path in zip(table, found, strict=True):
        assert isinstance(path, Path)
        assert f"sha256:{file_digest(path)}" == row["content"]


def test_moved_folders_change_no_table(tmp_path: Path, roots: dict[str, Path]) -> None:
    before = listed(tmp_path, sources=three(roots), negatives=str(write(tmp_path / "n", "n.wav")))
    moved = {name: root.rename(tmp_path / f"moved {name}") for name, root in roots.items()}
    after = listed(tmp_path, sources=three(moved), negatives=str((tmp_path / "n").rename(tmp_path / "m")))
    tables = ("0", "grouping", "details", "exclusions", "boxes", "labels", "kinds", "not_audio")
    assert [t for t in tables if before.manifests.digest(t) != after.manifests.digest(t)] == []


def test_recordings_of_a_single_source_keep_their_ids_beside_negatives(tmp_path: Path, roots: dict[str, Path]) -> None:
    single = {"type": "folder", "root": str(roots["far"])}
    alone, beside = listed(tmp_path, **single), listed(tmp_path, **single, negatives=str(roots["quiet"]))
    by_id = {row["recording"]: row for row in rows(beside)}
    assert by_id.items() >= {row["recording"]: row for row in rows(alone)}.items()
    added = [row for row in rows(beside) if row["recording"].startswith("negatives/")]
    assert [(row["recording"], row["location"]) for row in added] == [
        ("negatives/top.wav", "local://negatives/top.wav"),
        ("negatives/x/deep/r.wav", "local://negatives/x/deep/r.wav"),
    ]
    assert folders_of(CorpusSettings(**single)) == str(roots["far"])
    folders = json.loads(folders_of(CorpusSettings(**single, negatives=str(roots["quiet"]))))
    assert folders == {"": str(roots["far"]), "negatives": str(roots["quiet"])}
    assert any(note.startswith("2 recordings are negatives") for note in beside.notes)


def test_metadata_licences_and_take_downs_of_negatives(tmp_path: Path, roots: dict[str, Path]) -> None:
    (roots["quiet"] / "SOURCES.csv").write_text("file,licence,recordist\ntop.wav,CC BY 4.0,Ann\nx/deep/r.wav,CC0,Bob\n")
    (tmp_path / "down.csv").write_text("kind,value\nrecordist,Bob\n")
    listing = listed(
        tmp_path, type="folder", root=str(roots["far"]), negatives=str(roots["quiet"]), licences={"train": ["CC0"]},
        take_down=str(tmp_path / "down.csv"),
    )  # fmt: skip
    excluded = {row["recording"] for row in rows(listing, "exclusions")}
    assert "negatives/top.wav" in excluded
    problems = {row["recording"]: row["problem"] for row in rows(listing)}
    assert problems["negatives/x/deep/r.wav"].startswith("taken down")


def test_a_take_down_list_of_one_source_holds_for_it_among_several(tmp_path: Path, roots: dict[str, Path]) -> None:
    (tmp_path / "down.csv").write_text("kind,value\nid,parus major/c.wav\n")
    listing = listed(tmp_path, sources=three(roots), take_down=str(tmp_path / "down.csv"))
    assert [row["recording"] for row in rows(listing) if row["problem"]] == ["far/parus major/c.wav"]
    assert not any("match no recording" in note for note in listing.notes)


def test_the_split_of_a_source_replaces_that_of_its_metadata(tmp_path: Path, roots: dict[str, Path]) -> None:
    (roots["far"] / "SOURCES.csv").write_text("file,split,recordist\nparus major/a.wav,train,Ann\n")
    listing = listed(tmp_path, sources=three(roots, split="test"))
    given = {row["recording"]: (row["split"], row["recordist"]) for row in rows(listing, "grouping")}
    assert given == {
        "far/Pica pica/50 % #1?.wav": ("test", ""),
        "far/parus major/a.wav": ("test", "Ann"),
        "far/parus major/c.wav": ("test", ""),
    }
    assert listing.given_splits == 3


def test_annotated_and_focal_sources_in_one_run(tmp_path: Path, roots: dict[str, Path]) -> None:
    field = write(tmp_path / "field", "dawn.wav", "dusk.wav")
    (field / "dawn.csv").write_text("file,start,end,label\ndawn.wav,0,0.02,Pica_pica\n")
    (field / "dusk.csv").write_text("file,start,end,label\n")
    sources = [*three(roots), {"name": "field", "type": "annotations", "root": str(field), "split": "test"}]
    listing = listed(tmp_path, sources=sources)
    assert [(box["recording"], box["species"]) for box in rows(listing, "boxes")] == [("field/dawn.wav", "Pica pica")]
    kinds = {row["recording"]: row["kind"] for row in rows(listing, "kinds")}
    assert kinds["field/dawn.wav"] == kinds["field/dusk.wav"] == ANNOTATED
    assert "far/parus major/a.wav" not in kinds


def test_rows_of_a_table_without_species_are_negatives_with_a_note(tmp_path: Path) -> None:
    root = write(tmp_path / "t", "a.wav", "b.wav", "c.wav", "d.wav")
    (root / "birds.csv").write_text("file,species\na.wav,Parus major\nb.wav,\nc.wav,no bird\nd.wav, \n")
    table = {"type": "table", "table": str(root / "birds.csv")}
    listing = listed(tmp_path, **table)
    assert [row["recording"] for row in rows(listing, "kinds")] == ["b.wav", "c.wav", "d.wav"]
    assert rows(listing, "exclusions") == []
    assert listing.notes[0] == (
        f"2 of 4 rows of {root / 'birds.csv'} have no species and count as negatives, which hold no species; if their labels are "
        "missing, set corpus.empty_species: unknown"
    )
    unknown = listed(tmp_path, **table, empty_species="unknown")
    assert [row["recording"] for row in rows(unknown, "kinds")] == ["c.wav"]
    assert [row["recording"] for row in rows(unknown, "exclusions")] == ["b.wav", "d.wav"]
    assert not any("empty_species" in note for note in unknown.notes)


def test_a_table_of_negatives_needs_no_column_of_species(tmp_path: Path, roots: dict[str, Path]) -> None:
    (roots["quiet"] / "list.csv").write_text("file,licence\ntop.wav,CC0\n")
    sources = three(roots)
    sources[2] |= {"type": "table", "table": str(roots["quiet"] / "list.csv")}
    listing = listed(tmp_path, sources=sources)
    assert [row["recording"] for row in rows(listing, "kinds")] == ["near/noise/b.wav", "quiet/top.wav"]


def test_a_negative_in_a_folder_named_after_a_species_is_excluded(tmp_path: Path, roots: dict[str, Path]) -> None:
    write(roots["quiet"], "PICA_pica/x.wav", "x/Parus major/y.wav")
    write(roots["near"], "noise/Pica pica/z.wav")
    listing = listed(tmp_path, sources=three(roots))
    excluded = {row["recording"]: row["reason"] for row in rows(listing, "exclusions")}
    assert set(excluded) == {"near/noise/Pica pica/z.wav", "quiet/PICA_pica/x.wav", "quiet/x/Parus major/y.wav"}
    assert excluded["quiet/PICA_pica/x.wav"] == (
        "a negative in the folder 'PICA_pica', which has the name of a species; label it as that species, rename the folder, or, if "
        "the name is none of a species, add it to corpus.negative_names"
    )


@pytest.mark.parametrize(
    ("inside", "relation"), [("", "is also"), ("Pica pica", "lies in"), ("noise", "lies in"), ("..", "holds")]
)
def test_negatives_that_are_recordings_of_a_source_are_refused(
    tmp_path: Path, roots: dict[str, Path], inside: str, relation: str
) -> None:
    write(roots["far"], "noise/n.wav")
    with pytest.raises(AutobirdError, match=rf"corpus\.negatives: .* {relation} .*folder of .*negatives already"):
        listed(tmp_path, type="folder", root=str(roots["far"]), negatives=str(roots["far"] / inside))


def test_a_folder_of_two_sources_is_refused_also_through_a_link(tmp_path: Path, roots: dict[str, Path]) -> None:
    (tmp_path / "link").symlink_to(roots["far"])
    sources = three(roots | {"near": tmp_path / "link"})
    with pytest.raises(AutobirdError, match=r"far \(.*is also the folder of near \(.*; give each source a folder of"):
        listed(tmp_path, sources=sources)


def test_the_same_id_in_two_sources_is_refused(tmp_path: Path, roots: dict[str, Path]) -> None:
    write(roots["far"], "negatives/top.wav")
    with pytest.raises(AutobirdError, match=r"have recordings with the id negatives/top\.wav; rename the folder nega"):
        listed(tmp_path, type="folder", root=str(roots["far"]), negatives=str(roots["quiet"]))


def test_a_source_without_recordings_is_refused(tmp_path: Path, roots: dict[str, Path]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("nothing")
    with pytest.raises(AutobirdError, match=r"corpus\.negatives: .*empty holds no recordings"):
        listed(tmp_path, type="folder", root=str(roots["far"]), negatives=str(tmp_path / "empty"))
    with pytest.raises(AutobirdError, match=r"near \(corpus\.root: .*empty\) holds no recordings"):
        listed(tmp_path, sources=three(roots | {"near": tmp_path / "empty"}))


def test_a_missing_folder_is_named_with_its_source(tmp_path: Path, roots: dict[str, Path]) -> None:
    with pytest.raises(AutobirdError, match=r"corpus\.sources, near: corpus\.root: .*nowhere is not a folder"):
        listed(tmp_path, sources=three(roots | {"near": tmp_path / "nowhere"}))
    with pytest.raises(AutobirdError, match=r"corpus\.negatives: .*nowhere is not a folder; give a folder of rec"):
        listed(tmp_path, type="folder", root=str(roots["far"]), negatives=str(tmp_path / "nowhere"))


def folder(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "folder", "root": "x"} | more


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ({"sources": [folder("a"), folder("A")]}, "corpus: the name 'A' of a source is used twice; give each"),
        ({"sources": [folder("negatives")], "negatives": "n"}, "corpus: the name 'negatives' of a source is that of"),
        ({"sources": [folder("a")], "root": "y"}, "corpus: root has no effect beside sources; move it"),
        ({"sources": [folder("a/b")]}, "corpus.sources.0.name: 'a/b' is not valid"),
        ({"sources": [folder("a", rot="x")]}, "corpus.sources.0.rot: there is no such key; did you mean root?"),
        ({"sources": [folder("a", annotations={"lable": "x"})]}, "corpus.sources.0.annotations.lable: there is no such"),
        ({"sources": [{"name": "a", "type": "folder"}]}, "corpus.sources.0: type folder needs root, the folder that holds"),
        ({"sources": [{"name": "a"}]}, "corpus.sources.0.type: "),
        ({"sources": [folder("a", split="dev")]}, "corpus.sources.0.split: 'dev' is not valid"),
        ({"sources": [folder("a", negative=True, type="annotations")]}, "corpus.sources.0: negative: true contradicts"),
        ({"sources": [{"name": n, "type": "demo"} for n in "ab"]}, "corpus: 2 sources have the type demo"),
        (
            {"sources": [{"name": n, "type": "url", "root": f"gs://{n}", "lock": "l"} for n in "ab"]},
            "corpus: two sources have the lock file l; give each its own",
        ),
        (
            {"sources": [{"name": "x", "type": "xeno_canto", "xeno_canto": {"query": "q"}}], "fetch": {"interval": 0.1}},
            "corpus: fetch.interval 0.1 s is below the one second",
        ),
    ],
)  # fmt: skip
def test_settings_of_sources_that_make_no_sense_are_refused(corpus: dict[str, Any], message: str) -> None:
    with pytest.raises(AutobirdError) as caught:
        load_config({"corpus": corpus})
    assert str(caught.value).startswith(message)


def test_a_configuration_that_is_overridden_may_name_a_type() -> None:
    assert Config.model_validate({"corpus": {"type": "folder", "sources": [folder("a")]}}).corpus.sources[0].name == "a"


def test_the_provenance_holds_no_path_of_a_source() -> None:
    sources = [folder("a"), {"name": "b", "type": "table", "table": "/home/me/t.csv"}]
    config = Config.model_validate({"corpus": {"sources": sources, "negatives": "/home/me/n"}})
    assert "/home/me" not in config.provenance()
    assert [s["name"] for s in json.loads(config.provenance())["corpus"]["sources"]] == ["a", "b"]


def test_each_remote_source_has_its_own_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sources = [
        {"name": name, "type": "xeno_canto", "xeno_canto": {"query": query}}
        for name, query in (("a", "q:A"), ("b", "q:B"))
    ]
    corpus = CorpusSettings(sources=sources, batches=1)
    with pytest.raises(LockMissing, match=r"corpus\.sources, a: corpus\.lock: config/sources\.a\.lock\.jsonl does not"):
        source_of(corpus, tmp_path / "c")
    for number, source in enumerate(corpus.sources):
        key = xeno_canto.source_key(source.xeno_canto)
        write_lock(
            source.lock_file,
            key,
            [entry(number, f"Pica {source.name}", "x.mp3") | {"file": "//x/x.mp3", "also": ["Parus major"]}],
            "id",
        )
    listing = Listing(source_of(corpus, tmp_path / "c"), corpus)
    table = rows(listing)
    assert [row["recording"] for row in table] == ["a/Pica_a/XC0.mp3", "b/Pica_b/XC1.mp3"]
    assert all(row["location"].startswith("http") for row in table)
    assert storages_of(corpus) == {"url"}
    assert [row["uncertain"] for row in rows(listing, "labels")] == ['["Parus major"]'] * 2


def test_recordings_in_a_zip_beside_a_folder(tmp_path: Path, roots: dict[str, Path]) -> None:
    with zipfile.ZipFile(tmp_path / "k.zip", "w") as archive:
        archive.write(roots["near"] / "noise/b.wav", "data/Corvus corone_sound/k.wav")
        archive.write(roots["near"] / "Parus_major/a.wav", "data/Larus canus_sound/l.wav")
    kaggle = {"name": "k", "type": "kaggle", "root": str(tmp_path / "k.zip")}
    corpus = CorpusSettings(sources=[kaggle, *three(roots)], batches=1)
    listing = Listing(source_of(corpus, tmp_path / "c"), corpus)
    places = {row["recording"]: row["location"] for row in rows(listing)}
    assert places["k/Corvus corone_sound/k.wav"] == "zip://k/data/Corvus corone_sound/k.wav"
    assert storages_of(corpus) == {"zip", "folder"}
    assert json.loads(archives_of(corpus)) == {"k": str(tmp_path / "k.zip")}
    assert set(json.loads(folders_of(corpus))) == {"near", "far", "quiet"}
    manifest, tar, fetched = (tmp_path / name for name in ("m.csv", "0.tar", "0.csv"))
    manifest.write_text(listing.manifests.text("0"), encoding="utf-8")
    options = {"settings": corpus.fetch.model_dump_json(), "manifest": manifest, "archive": archives_of(corpus), "audio": tar,
               "fetched": fetched}  # fmt: skip
    download.main([text for name, value in options.items() for text in (f"--{name}", str(value))])
    table = rows(listing)
    found = audio_sources(
        [RecordingLocation.from_row(row) for row in table], RecordingRoots.parse(folders_of(corpus)), [tar]
    )
    assert None not in found
    assert sum(isinstance(source, TarMember) for source in found) == 2
    assert [row["recording"] for row in read_rows(fetched)] == [r for r in places if r.startswith("k/")]


def test_the_demo_beside_a_folder(tmp_path: Path, roots: dict[str, Path]) -> None:
    demo = {"name": "d", "type": "demo", "demo": {"species": 2, "recordings": 3}}
    corpus = CorpusSettings(sources=[demo, *three(roots)], batches=1)
    listing = Listing(source_of(corpus, tmp_path / "c"), corpus)
    found = demo_rows(rows(listing))
    assert len(found) >= 2
    for recording, file, id_in_demo in found:
        assert (recording, file) == (f"d/{id_in_demo}", f"demo://d/{id_in_demo}")
    remote = {"name": "u", "type": "url", "root": "gs://birds"}
    with pytest.raises(AutobirdError, match=r"the demo cannot be joined with recordings that are downloaded"):
        source_of(CorpusSettings(sources=[demo, remote]), tmp_path / "c")


def test_local_recordings_of_several_sources_are_packed_and_found_in_the_tar(
    tmp_path: Path, roots: dict[str, Path]
) -> None:
    demo = {"name": "d", "type": "demo", "demo": {"species": 2, "recordings": 3}}
    sources = [demo, *three(roots)]
    listing = listed(tmp_path, sources=sources)
    manifest, tar = tmp_path / "m.csv", tmp_path / "0.tar"
    manifest.write_text(listing.manifests.text("0"), encoding="utf-8")
    folders = folders_of(CorpusSettings(sources=sources))
    pack.main(["--settings", "{}", "--manifest", str(manifest), "--root", folders, "--output", str(tar)])
    table = [row for row in read_rows(manifest) if not row["content"].startswith("demo")]
    with tarfile.open(tar) as archive:
        assert archive.getnames() == [row["location"] for row in table]
    locations = [RecordingLocation.from_row(row) for row in table]
    assert None not in audio_sources(locations, None, [tar])


def test_files_of_a_named_source_are_read_from_its_folder_beside_a_tar(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("https://x/a.mp3"))
    folders = RecordingRoots({"near": tmp_path})
    wanted = [RecordingLocation("n/a.wav", "local://near/a.wav"), RecordingLocation("b", "https://x/b.mp3"),
              RecordingLocation("a", "https://x/a.mp3"), RecordingLocation("c", "local://other/c.wav")]  # fmt: skip
    found = audio_sources(wanted, folders, [tmp_path / "0.tar"])
    assert found[0] == tmp_path / "a.wav"
    assert found[1] is None
    assert found[2] is not None
    assert found[3] is None


@pytest.mark.parametrize("path", ["a b/ö.wav", "50 %.wav", "a#b?c.wav", "x%20y.wav", "tab\tnew\nline.wav"])
def test_a_location_names_the_path_in_any_characters(path: str) -> None:
    location = local_location("near", path)
    assert RecordingRoots({"near": Path("/r")}).path(location) == Path("/r") / path
    # Stage `dataset` reads the recorder from the folders of a file; the name of the source is none.
    assert file_path(location) == f"/{path}"


def test_folders_are_passed_as_text() -> None:
    for folders in ({}, {"": Path("/my birds")}, {"a": Path("/x"), "b": Path("y")}, {"": Path("x"), "n": Path("ü")}):
        assert RecordingRoots.parse(RecordingRoots(folders).text()).text() == RecordingRoots(folders).text()
    assert RecordingRoots.parse("{odd}").path("a.wav") == Path("{odd}/a.wav")


def test_negatives_in_a_folder_with_the_common_name_of_a_species_are_not_used(tmp_path: Path) -> None:
    root = write(tmp_path / "birds", "Parus_major/a.wav", "Pica_pica/b.wav")
    (root / "SOURCES.csv").write_text("file,common_name\nParus_major/a.wav,Great Tit\n")
    quiet = write(tmp_path / "quiet", "great_tit/c.wav", "Great Bustard/d.wav")
    listing = listed(tmp_path, type="folder", root=str(root), negatives=str(quiet))
    assert [row["recording"] for row in rows(listing, "exclusions")] == ["negatives/great_tit/c.wav"]
