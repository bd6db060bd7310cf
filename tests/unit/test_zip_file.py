"""A zip file as a source: ids are unique at any depth, and entries are treated as files in a folder are."""

import csv
import struct
import zipfile
from pathlib import Path

import pytest

from autobird.sources.folder import FolderSource
from autobird.sources.listing import Listing
from autobird.sources.settings import SourceSettings
from autobird.sources.zip_file import ZipSource

WAV = b"RIFF\0\0\0\0WAVE"


def archive(tmp: Path, *names: str, data: bytes = WAV) -> Path:
    path = tmp / "birds.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for name in names:
            opened.writestr(name, data + name.encode())
    return path


def listed(path: Path, suffix: str = "_sound") -> dict[str, str]:
    """Return the species of each recording that can be used."""
    recordings = ZipSource(path, suffix).recordings()
    assert len({r.recording for r in recordings}) == len(recordings)
    return {r.recording: r.species for r in recordings if not r.problem}


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (("A/1.wav", "B/1.wav"), {"A/1.wav": "A", "B/1.wav": "B"}),
        (("V/V/A_sound/1.wav", "V/V/B_sound/1.wav"), {"A_sound/1.wav": "A", "B_sound/1.wav": "B"}),
        (("V/A/2021/1.wav", "V/B/2021/1.wav"), {"A/2021/1.wav": "A", "B/2021/1.wav": "B"}),
        (("A/x/1.wav", "A/y/1.wav", "B/x/1.wav"), {"A/x/1.wav": "A", "A/y/1.wav": "A", "B/x/1.wav": "B"}),
        (("V/A_sound/x/1.wav", "V/A_sound/y/1.wav"), {"A_sound/x/1.wav": "A", "A_sound/y/1.wav": "A"}),
        (("V/A/1.wav", "V/A/2.wav"), {"A/1.wav": "A", "A/2.wav": "A"}),
        (("V/A/1.wav", "V/A/x/2.wav"), {"A/1.wav": "A", "A/x/2.wav": "A"}),
        (("V/stray.wav", "V/A/1.wav", "V/B/1.wav"), {"A/1.wav": "A", "B/1.wav": "B"}),
        (("V\\A\\1.wav", "V\\B\\1.wav"), {"A/1.wav": "A", "B/1.wav": "B"}),
        (("./A/1.wav", "A/./2.wav", "B/1.wav"), {"A/1.wav": "A", "A/2.wav": "A", "B/1.wav": "B"}),
    ],
)
def test_ids_are_paths_below_the_folder_of_the_species(
    names: tuple[str, ...], ids: dict[str, str], tmp_path: Path
) -> None:
    assert listed(archive(tmp_path, *names)) == ids


def test_a_zip_lists_what_its_unpacked_folder_lists(tmp_path: Path) -> None:
    names = (
        "Parus major/a.wav", "Parus major/._a.wav", "Pica pica/b.wav", "Pica pica/.DS_Store", "__MACOSX/Pica pica/._b.wav", "README.txt",
        "Pica pica/results.csv", "Pica pica/XC1", "Pica pica/@eaDir/b.wav",
    )  # fmt: skip
    path = archive(tmp_path, *names, data=b"")
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("Pica pica/XC2", WAV)
        opened.extractall(tmp_path / "r")
    in_zip, in_folder = ZipSource(path, "_sound"), FolderSource(tmp_path / "r", tmp_path / "c", suffix="_sound")
    both = [{r.recording: (r.species, r.problem) for r in source.recordings()} for source in (in_zip, in_folder)]
    assert both[0] == both[1]
    assert both[0]["Pica pica/XC2"] == ("Pica pica", "")
    assert both[0]["Pica pica/XC1"] == ("", "not audio: text")
    assert in_zip.notes()[0].startswith("4 hidden and system files were passed over")
    listing = Listing(in_zip, SourceSettings(batches=1))
    assert (listing.count, listing.species) == (3, ["Parus major", "Pica pica"])


def test_names_without_the_utf8_flag_are_read_as_utf8_if_they_are(tmp_path: Path) -> None:
    path = archive(tmp_path, "M\u00fcller/a.wav", "B/W\u00f6lf.wav", "C/c.wav")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as opened:
        offsets = [m.header_offset for m in opened.infolist()]
    for at in offsets:
        data[at + 6 : at + 8] = struct.pack("<H", 0)  # flags of the local header
    at = data.find(b"PK\1\2")
    while at >= 0:
        data[at + 8 : at + 10] = struct.pack("<H", 0)  # flags in the directory
        at = data.find(b"PK\1\2", at + 1)
    path.write_bytes(bytes(data))
    assert listed(path) == {"M\u00fcller/a.wav": "M\u00fcller", "B/W\u00f6lf.wav": "B", "C/c.wav": "C"}
    # ö in code page 437, which old programs write.
    path.write_bytes(bytes(data).replace("\u00f6".encode(), b"\x94f").replace(b"\x94flf", b"\x94lff"))
    source = ZipSource(path, "")
    assert "B/W\u00f6lff.wav" in {r.recording for r in source.recordings()}
    assert source.notes() == [
        "1 names in the zip file are not UTF-8 and were read as code page 437, the standard of zip files; check their letters, for example "
        "B/W\u00f6lff.wav"
    ]


def test_repeated_names_are_listed_and_only_the_first_is_used(tmp_path: Path) -> None:
    path = archive(tmp_path, "A/1.wav", "A\\1.wav", "B/1.wav")
    problems = [r.problem for r in ZipSource(path, "").recordings()]
    assert problems == ["", "another file of the zip has the same name; rename one of them", ""]


def test_an_encrypted_file_has_a_problem(tmp_path: Path) -> None:
    path = archive(tmp_path, "A/1.wav", "B/1.wav")
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(bytes(data))
    problems = {r.recording: r.problem for r in ZipSource(path, "").recordings()}
    assert problems == {"A/1.wav": "the file is encrypted; extract the zip file", "B/1.wav": ""}


def test_the_location_is_the_name_in_the_zip(tmp_path: Path) -> None:
    path = archive(tmp_path, "V\\A\\1.wav", "V\\B\\1.wav")
    listing = Listing(ZipSource(path, ""), SourceSettings(batches=1))
    rows = list(csv.DictReader(listing.manifests.text("0").splitlines()))
    with zipfile.ZipFile(path) as opened:
        for row in rows:
            assert opened.read(row["location"].removeprefix("zip://")).startswith(WAV)
