"""The cache of checksums: a damaged or locked one never stops a run or gives a wrong checksum."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from autobird.core import hashing
from autobird.core.hashing import HashCache, digest_of, file_digest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_text("one")
    return path


def digests(cache: Path, *files: Path) -> list[str | None]:
    with HashCache(cache) as hashes:
        return hashes.sha256(files)


def not_a_database(cache: Path) -> None:
    cache.write_bytes(b"this is no database, but it is longer than a header of one hundred bytes" * 9)


def truncated(cache: Path) -> None:
    with sqlite3.connect(cache) as db:
        db.execute("CREATE TABLE files (path TEXT PRIMARY KEY, state TEXT, sha256 TEXT)")
        db.executemany("INSERT INTO files VALUES (?, ?, ?)", [(str(i), "x" * 99, "y") for i in range(2000)])
    db.close()
    cache.write_bytes(cache.read_bytes()[:5000])


def overwritten(cache: Path) -> None:
    truncated(cache)
    data = bytearray(cache.read_bytes())
    data[200:] = b"\xee" * (len(data) - 200)
    cache.write_bytes(bytes(data))


def other_table(cache: Path) -> None:
    with sqlite3.connect(cache) as db:
        db.execute("CREATE TABLE files (name TEXT)")
    db.close()


@pytest.mark.parametrize("damage", [not_a_database, truncated, overwritten, other_table])
def test_a_damaged_cache_is_set_aside_and_a_new_one_is_begun(
    damage: Callable[[Path], None], tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "c" / "sha256.sqlite"
    cache.parent.mkdir()
    damage(cache)
    assert digests(cache, file) == [digest_of("one")]
    err = capsys.readouterr().err
    assert f"note: {cache} is damaged" in err
    assert "it is renamed to sha256.sqlite.damaged" in err
    assert (tmp_path / "c" / "sha256.sqlite.damaged").is_file()
    assert digests(cache, file) == [digest_of("one")]
    assert capsys.readouterr().err == ""


def test_an_empty_file_is_a_new_cache(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c").write_bytes(b"")
    assert digests(tmp_path / "c", file) == [digest_of("one")]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("mode", ["EXCLUSIVE", "IMMEDIATE"])
def test_a_cache_that_another_process_locks_is_not_waited_for(
    mode: str, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hashing, "_LOCK_SECONDS", 0.05)
    cache = tmp_path / "c"
    digests(cache)
    other = sqlite3.connect(cache)
    other.execute(f"BEGIN {mode}")
    assert digests(cache, file) == [digest_of("one")]
    assert f"note: {cache} cannot be used (database is locked)" in capsys.readouterr().err
    other.close()
    assert digests(cache, file) == [digest_of("one")]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["folder", "parent is a file"])
def test_a_cache_that_cannot_be_opened_is_done_without(
    kind: str, tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "c" if kind == "folder" else file / "c"
    if kind == "folder":
        cache.mkdir()
    assert digests(cache, file) == [digest_of("one")]
    assert capsys.readouterr().err.count("note: ") == 1


def test_a_read_only_cache_is_read_and_not_written(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "c"
    digests(cache, file)
    connect = sqlite3.connect
    # As root can write everywhere, the database is opened as read-only instead.
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout: connect(f"file:{path}?mode=ro", timeout, uri=True))
    assert digests(cache, file) == [digest_of("one")]
    assert capsys.readouterr().err == ""
    file.write_text("two, longer")
    assert digests(cache, file) == [digest_of("two, longer")]
    assert "attempt to write a readonly database" in capsys.readouterr().err


def test_a_stored_value_that_is_no_checksum_is_not_used(tmp_path: Path, file: Path) -> None:
    cache = tmp_path / "c"
    digests(cache, file)
    with sqlite3.connect(cache) as db:
        db.execute("UPDATE files SET sha256 = 'damaged'")
    db.close()
    assert digests(cache, file) == [digest_of("one")]


@pytest.mark.skipif(not hasattr(__import__("os"), "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_has_no_checksum_and_is_not_opened(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.wav")
    assert file_digest(tmp_path / "pipe.wav") is None
    assert digests(tmp_path / "c", tmp_path / "pipe.wav") == [None]
