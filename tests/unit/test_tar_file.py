"""Tar archives of recordings."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autobird.audio.tar_file import TarMember, write_tar


def test_the_same_files_give_the_same_bytes_whatever_their_times_and_sources(tmp_path: Path) -> None:
    song = tmp_path / "song"
    song.write_bytes(b"x" * 3000)
    write_tar(tmp_path / "a.tar", [TarMember("b/ä.wav", song), TarMember("a", b"y", {"AUTOBIRD.content": "1"})])
    os.utime(song, (0, 0))
    song.chmod(0o600)
    write_tar(tmp_path / "b.tar", [TarMember("b/ä.wav", b"x" * 3000), TarMember("a", b"y", {"AUTOBIRD.content": "1"})])
    data = (tmp_path / "a.tar").read_bytes()
    assert data == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [(m.name, m.size, m.mtime, m.uid) for m in archive] == [("b/ä.wav", 3000, 0, 0), ("a", 1, 0, 0)]
        assert archive.getmember("a").pax_headers["AUTOBIRD.content"] == "1"


def test_an_archive_that_cannot_be_finished_is_not_left_behind(tmp_path: Path) -> None:
    def members() -> Iterator[TarMember]:
        yield TarMember("a", b"y")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_tar(tmp_path / "a.tar", members())
    assert list(tmp_path.iterdir()) == []
