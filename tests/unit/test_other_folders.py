"""Folders at a URL and Kaggle data sets are listed by the rules of local folders."""

import logging
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.corpus.settings import CorpusSettings
from autobird.sources import url
from autobird.sources.fetch.url import list_recordings
from autobird.sources.kaggle import kaggle_folder
from autobird.sources.listing import Listing
from autobird.sources.lock import write_lock
from autobird.sources.select import source_of

WAV = b"RIFF\0\0\0\0WAVE"


def write(root: Path, *names: str, data: bytes = WAV) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def test_a_folder_at_a_url_is_listed_as_a_local_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "r"
    write(
        root,
        "Parus major/a.wav",
        "Pica pica/b.mp3",
        "Pica pica/XC1",
        "Parus major/._a.wav",
        "@eaDir/x.wav",
        ".Trash-1/c.wav",
    )
    write(root, "Pica pica/results.csv", "tables/all.txt", data=b"words")
    (root / "SOURCES.csv").write_bytes("file,recordist\nParus major\\A.wav,Jørgen\n".encode("cp1252"))
    settings = CorpusSettings(type="url", root=f"file://{root}", lock=str(tmp_path / "lock.jsonl"), batches=1)
    with caplog.at_level(logging.WARNING, "autobird"):
        write_lock(
            tmp_path / "lock.jsonl",
            url.source_key(settings.root or ""),
            list_recordings(settings, tmp_path),
            "recording",
        )
    assert "3 hidden and system files are passed over, for example .Trash-1/c.wav" in caplog.text
    assert f"{settings.root}/SOURCES.csv: read as Windows-1252" in caplog.text
    listing = Listing(source_of(settings, tmp_path / "c"), settings)
    assert (listing.count, listing.species) == (3, ["Parus major", "Pica pica"])
    assert listing.manifests.text("not_audio") == "file,kind\nPica pica/results.csv,text\ntables/all.txt,text\n"
    assert listing.manifests.text("grouping").splitlines()[1] == "Parus major/a.wav,Jørgen,,,"


def test_hidden_folders_do_not_decide_where_a_kaggle_data_set_has_its_species(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ".cache/x/._a.mp3", "__MACOSX/V/A/._a.mp3", "V/V/A/a.mp3", "V/V/B/b.mp3", "V/._c.mp3")
    settings = CorpusSettings(type="kaggle", root=str(tmp_path))
    assert kaggle_folder(settings) == tmp_path / "V" / "V"
    assert Listing(source_of(settings, tmp_path / "c" / "x"), settings).species == ["A", "B"]


def test_a_kaggle_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    write(tmp_path, "V/V/A/a.mp3")
    scandir = os.scandir

    def failing_scandir(path: str) -> object:
        if os.fspath(path).endswith("V"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing_scandir)
    with pytest.raises(AutobirdError, match=r"V cannot be read \(Permission denied\)"):
        kaggle_folder(CorpusSettings(type="kaggle", root=str(tmp_path)))
