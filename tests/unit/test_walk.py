"""Training, `snakemake predict`, `autobird predict` and drift find the same files below a folder."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.core.hashing import batch_of
from autobird.core.system_names import is_system_name
from autobird.core.walk import FolderWalk, path_of_printable, printable
from autobird.corpus.settings import CorpusSettings
from autobird.predict.inputs import find_files
from autobird.sources.field import FieldRecordings
from autobird.sources.folder import FolderSource
from autobird.sources.listing import Listing
from tests.cases import write_case

needs_links = pytest.mark.skipif(os.name == "nt", reason="creating links needs a privilege on Windows")


def write(root: Path, *names: str, data: bytes = b"RIFF\0\0\0\0WAVE") -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


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


def listing_of(root: Path, tmp: Path) -> Listing:
    return Listing(
        FolderSource(root, tmp / "cache" / "x.sqlite"), CorpusSettings(type="folder", root=str(root), batches=1)
    )


def found_by_all(root: Path, tmp: Path) -> list[str]:
    """Return the recordings below a folder, which all commands must find."""
    cache = tmp / "cache" / "x.sqlite"
    predicted = [printable(f.relative_to(root).as_posix()) for f in find_files([root]).files]
    trained = [r.recording for r in FolderSource(root, cache).recordings() if not r.problem.startswith("not audio")]
    field = FieldRecordings(root, cache, 1, "predict.input").manifests.text("0").splitlines()[1:]
    assert sorted(predicted) == trained == [line.split(",")[0] for line in field]
    assert all(line.split(",")[1] for line in field)
    return trained


@needs_links
def test_links_to_folders_are_followed_and_each_folder_is_visited_once(folder: Path) -> None:
    assert FolderWalk(folder).files == FILES


@needs_links
def test_a_folder_below_the_root_keeps_its_own_path_whatever_links_are_called(tmp_path: Path) -> None:
    write(tmp_path / "r", "Parus major/a.wav", "Pica pica/2023/b.wav")
    (tmp_path / "r" / "Aaa").symlink_to(tmp_path / "r" / "Parus major")
    (tmp_path / "r" / "Parus major" / "again").symlink_to(tmp_path / "r" / "Pica pica" / "2023")
    assert FolderWalk(tmp_path / "r").files == ["Parus major/a.wav", "Pica pica/2023/b.wav"]


@needs_links
def test_all_commands_find_the_same_files(folder: Path, tmp_path: Path) -> None:
    assert found_by_all(folder, tmp_path) == FILES
    field = FieldRecordings(folder, tmp_path / "cache" / "x", 2, "predict.input")
    tables = [field.manifests.text(str(number)).splitlines() for number in range(2)]
    for number, lines in enumerate(tables):
        assert lines[0] == "recording,sha256"
        assert all(batch_of(line.split(",")[0], 2) == number for line in lines[1:])
    assert sorted(size for sizes in field.sizes for size in sizes) == [1, 2, 3]


SYSTEM = (
    "._a.wav", ".DS_Store", ".hidden.wav", "Thumbs.db", "THUMBS.DB", "desktop.ini", "ehthumbs.db", "~$birds.xlsx", ".~lock.birds.ods#",
    "@eaDir/a.wav@SynoEAStream", "@eaDir/x.wav", "#recycle/x.wav", "#snapshot/d/x.wav", ".Trash-1000/files/x.wav", ".Trashes/x.wav",
    "$RECYCLE.BIN/S-1-5/x.wav", "$Recycle.Bin/x.wav", "__MACOSX/A/._a.wav", "System Volume Information/x.wav", "lost+found/x.wav",
    "FOUND.000/FILE0000.CHK", "found.012/x.wav", "LOST.DIR/x.wav", "@Recycle/x.wav", ".@__thumb/x.wav", ".Spotlight-V100/x.wav",
    ".git/objects/x.wav", ".ipynb_checkpoints/x.wav", "a.wav:Zone.Identifier", "Icon\r", "Network Trash Folder/x.wav", "~snapshot/x.wav",
)  # fmt: skip

NOT_SYSTEM = (
    "a.wav", ".mp3", ".WAV", "Found/a.wav", "found.wav", "Trash/a.wav", "#1.wav", "@a.wav", "~a.wav", "$a.wav", "_a.wav", "lost/a.wav",
    "System/a.wav", "thumbs.db.wav", "a.wav@x", "recycle/x.wav", "A/FOUND.000.wav",
)  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses some of these names")
def test_hidden_and_system_entries_are_passed_over_and_counted(tmp_path: Path) -> None:
    root = tmp_path / ".hidden root"  # the name of the root itself does not matter
    write(root, "A/a.wav", "B/b.wav", *(f"A/{name}" for name in SYSTEM))
    write(root, *(f"B/{name}" for name in NOT_SYSTEM))
    assert found_by_all(root, tmp_path) == sorted(["A/a.wav", "B/b.wav", *(f"B/{name}" for name in NOT_SYSTEM)])
    entries = {name.split("/")[0] for name in SYSTEM}
    note = f"{len(entries)} hidden and system files and folders were passed over, for example A/#recycle"
    assert note in listing_of(root, tmp_path).notes
    assert f"{root}: {note}" in find_files([root]).notes
    assert f"predict.input: {note}" in FieldRecordings(root, tmp_path / "c", 1, "predict.input").notes


def test_a_hidden_file_or_folder_that_the_user_names_is_tried(tmp_path: Path) -> None:
    write(tmp_path, "._a.wav", ".Trash-1000/b.wav", "notes.txt")
    named = [tmp_path / "._a.wav", tmp_path / ".Trash-1000", tmp_path / "notes.txt"]
    assert find_files(named).files == [named[0], named[1] / "b.wav", named[2]]


def test_a_file_without_a_name_before_its_extension_is_a_recording() -> None:
    assert not is_system_name(".mp3")
    assert is_system_name(".mp3.part")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_links_that_lead_nowhere_and_special_files_are_counted_and_never_opened(tmp_path: Path) -> None:
    root = tmp_path / "r"
    write(root, "A/a.wav", "B/b.wav")
    os.mkfifo(root / "A" / "pipe.wav")  # opening it would wait for ever
    (root / "A" / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (root / "A" / "self.wav").symlink_to(root / "A" / "self.wav")
    (root / "B" / "pipe too.wav").symlink_to(root / "A" / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(root)  # names of sockets are short
        server.bind("socket.wav")
        os.chdir(here)
        assert found_by_all(root, tmp_path) == ["A/a.wav", "B/b.wav"]
        assert FolderWalk(root).notes() == [
            "2 links that lead nowhere were passed over, for example A/gone.wav",
            "3 pipes, sockets or devices were passed over, for example A/pipe.wav",
        ]
    with pytest.raises(AutobirdError, match=r"pipe\.wav is a pipe, socket or device"):
        find_files([root / "A" / "pipe.wav"])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied"),
            r"r/A/closed cannot be read \(Permission denied\); correct its",
        ),
        (OSError(errno.EIO, "Input/output error"), r"r/A/closed cannot be read \(Input/output error\)"),
        (FileNotFoundError(errno.ENOENT, "No such file"), r"r/A/closed was removed while .* run again"),
    ],
)
def test_a_folder_that_cannot_be_read_or_vanishes_stops_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    root = tmp_path / "r"
    write(root, "A/a.wav", "A/closed/b.wav")
    scandir = os.scandir

    def failing_scandir(path: str) -> object:
        if os.fspath(path).endswith("closed"):
            raise error
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing_scandir)
    for command in (
        lambda: find_files([root]),
        lambda: FieldRecordings(root, tmp_path / "c", 1, "predict.input"),
        lambda: FolderSource(root, tmp_path / "c").recordings(),
    ):
        with pytest.raises(AutobirdError, match=message):
            command()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become another user")
def test_a_folder_without_permission_stops_a_user_with_its_name(tmp_path: Path) -> None:
    root = tmp_path / "r"
    write(root, "A/a.wav", "B/b.wav")
    (root / "B").chmod(0)
    code = (
        "import os, sys; from pathlib import Path; from autobird.core.walk import FolderWalk; "
        "fd = os.open(sys.argv[1], os.O_RDONLY); os.fchdir(fd); os.setuid(65534); print(FolderWalk(Path('.')).files)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True)
    assert done.returncode != 0
    assert "B cannot be read (Permission denied); correct its permissions" in done.stderr


def test_a_missing_or_empty_folder_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(AutobirdError, match=r"drift\.current: .*nowhere is not a folder"):
        FieldRecordings(tmp_path / "nowhere", tmp_path / "cache", 1, "drift.current")
    write(tmp_path, "empty/notes.txt", "empty/.hidden", data=b"words")
    with pytest.raises(
        AutobirdError, match=r"predict\.input: .*empty holds no recordings \(1 file is not audio \(1 text\)"
    ):
        FieldRecordings(tmp_path / "empty", tmp_path / "cache", 1, "predict.input")


def test_a_file_name_that_is_not_utf8_becomes_printable_and_leads_back_to_its_file(tmp_path: Path) -> None:
    assert printable("a\udce9.wav") == "a\\xe9.wav"
    assert printable("é.wav") == "é.wav"
    try:
        (tmp_path / os.fsdecode(b"W\xf6lfchen.wav")).write_bytes(b"1")
        (tmp_path / "W\\xe6.wav").write_bytes(b"2")  # a name that really holds a backslash
    except OSError:
        pytest.skip("this file system refuses such names")
    assert path_of_printable(tmp_path, "W\\xf6lfchen.wav").read_bytes() == b"1"
    assert path_of_printable(tmp_path, "W\\xe6.wav").read_bytes() == b"2"


def test_recordings_of_cards_and_network_storage_are_told_from_what_lies_beside_them(tmp_path: Path) -> None:
    root = write_case("f04_droppings", tmp_path / "f04")
    wanted = [f"{species}/rec{k}.wav" for species in "AB" for k in range(4)]
    assert found_by_all(root, tmp_path) == wanted
    listing = listing_of(root, tmp_path)
    assert (listing.count, listing.species) == (8, ["A", "B"])
    # 8 files `._*`, 2 folders `@eaDir` and one `.Trash-1000`; 8 result tables of BirdNET.
    assert listing.notes[0].startswith("11 hidden and system files and folders were passed over")
    assert listing.notes[1].startswith("8 files are not audio (8 text), for example A/rec0.BirdNET.results.csv")
    assert len(listing.manifests.text("not_audio").splitlines()) == 1 + 8


@needs_links
def test_a_link_to_another_disk_is_followed_by_all_commands(tmp_path: Path) -> None:
    root = write_case("f05_link", tmp_path / "f05") / "card"
    assert found_by_all(root, tmp_path) == ["first.wav", "more/second.wav"]


def test_a_name_of_an_old_zip_is_escaped_in_the_same_way_everywhere(tmp_path: Path) -> None:
    root = write_case("f13_latin1", tmp_path / "f13")
    assert found_by_all(root, tmp_path) == ["W\\xf6lfchen.wav", "b.wav"]
    problems = {r.recording: r.problem for r in FolderSource(root, tmp_path / "c").recordings()}
    assert problems["W\\xf6lfchen.wav"] == "the file's name is not UTF-8; rename it"
