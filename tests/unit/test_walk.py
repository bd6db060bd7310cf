"""Training, `snakemake predict`, `autobird predict` and drift find the same files below a folder."""

from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.core.hashing import batch_of
from autobird.core.walk import files_below, printable
from autobird.predict.inputs import find_files
from autobird.sources.field import FieldRecordings
from autobird.sources.folder import FolderSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two species folders. One of them is a link to another folder, and a link in the other one leads back to the root."""
    root, linked = tmp_path / "root", tmp_path / "linked"
    (root / "Parus major").mkdir(parents=True)
    linked.mkdir()
    (root / "Parus major" / "b.wav").write_bytes(b"1")
    (root / "Parus major" / "a.wav").write_bytes(b"22")
    (linked / "c.wav").write_bytes(b"333")
    (root / "Corvus corone").symlink_to(linked, target_is_directory=True)
    (root / "Parus major" / "loop").symlink_to(root, target_is_directory=True)
    return root


FILES = ["Corvus corone/c.wav", "Parus major/a.wav", "Parus major/b.wav"]


def test_links_to_folders_are_followed_and_each_folder_is_visited_once(folder: Path) -> None:
    assert sorted(files_below(folder)) == FILES


def test_all_commands_find_the_same_files(folder: Path, tmp_path: Path) -> None:
    assert find_files([folder]).files == [folder / name for name in FILES]
    assert [r.recording for r in FolderSource(folder, tmp_path / "cache").recordings()] == FILES
    field = FieldRecordings(folder, tmp_path / "cache", 2, "predict.input")
    tables = [field.manifests.text(str(number)).splitlines() for number in range(2)]
    assert sorted(line.split(",")[0] for lines in tables for line in lines[1:]) == FILES
    for number, lines in enumerate(tables):
        assert lines[0] == "recording,sha256"
        assert all(batch_of(line.split(",")[0], 2) == number for line in lines[1:])
    assert sorted(size for sizes in field.sizes for size in sizes) == [1, 2, 3]


def test_a_missing_or_empty_folder_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(AutobirdError, match=r"drift\.current: .*nowhere is not a folder"):
        FieldRecordings(tmp_path / "nowhere", tmp_path / "cache", 1, "drift.current")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AutobirdError, match=r"predict\.input: .*empty holds no recordings"):
        FieldRecordings(tmp_path / "empty", tmp_path / "cache", 1, "predict.input")


def test_a_file_name_that_is_not_utf8_becomes_printable() -> None:
    assert printable("a\udce9.wav") == "a\\xe9.wav"
    assert printable("é.wav") == "é.wav"
