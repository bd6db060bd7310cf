"""Files that are no audio by extension and content are told from recordings."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from autobird.audio.file_kind import HEAD, kind_of_content, not_audio_kind
from autobird.audio.folder_listing import list_folder

WAV = b"RIFF\x24\0\0\0WAVEfmt "


def box(name: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


def mp4(*handlers: bytes, index_first: bool = False) -> bytes:
    """An MP4 with a track per handler (`soun`, `vide`)."""
    moov = box(b"moov", b"".join(box(b"trak", box(b"hdlr", bytes(8) + h)) for h in handlers))
    mdat = box(b"mdat", bytes(5000))
    return box(b"ftyp", b"isom" + bytes(4)) + (moov + mdat if index_first else mdat + moov)


def mkv(*codecs: bytes) -> bytes:
    return b"\x1a\x45\xdf\xa3\x80" + b"".join(b"\x86" + bytes([0x80 + len(c)]) + c for c in codecs)


def zipped() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.wav", WAV)
    return data.getvalue()


def ogg() -> bytes:
    data = io.BytesIO()
    soundfile.write(data, np.zeros(4000, np.float32), 16000, format="OGG")
    return data.getvalue()


MPEG = (b"\xff\xfb\x90\x64" + bytes(413)) * 4
ADTS = b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)

AUDIO = {
    "a.wav": b"text", "a.MP3": b"", ".mp3": b"x", "a.wac": b"\0",  # by their extension, whatever they hold
    "XC123": WAV, "a.bak": b"fLaC\0", "a.txt": ogg(), "a.dat": b"ID3\4" + bytes(9), "a.wav.part": WAV, "a.csv": MPEG, "a.bin": bytes(99) + MPEG,
    "a": b"FORM\0\0\0\0AIFF", "b": b"RF64\xff\xff\xff\xffWAVE", "c": ADTS * 4, "d.tmp": b"#!AMR\n", "e": mp4(b"soun"),
    "phone.mp4": mp4(b"vide", b"soun"), "phone.3gp": mp4(b"soun", index_first=True), "phone.webm": mkv(b"A_OPUS"), "v.mkv": mkv(b"V_VP9", b"A_OPUS"),
    "a.flv": b"FLV\1\5", "a.ts": (b"\x47" + bytes(187)) * 3, "a.tta": b"", "broken.mp4": b"", "cut.mp4": mp4(b"soun")[:3000], "text.3gp": b"words", "video.avi": b"RIFF\0\0\0\0AVI " + b"vids" + b"auds",
}  # fmt: skip

NOT_AUDIO = {
    "a.csv": (b"Start (s),End (s)\n", "text"), "README": (b"words\n", "text"), "latin.txt": (b"V\xf6gel\r\n", "text"),
    "utf16.txt": ("Vögel\n".encode("utf-16"), "text"), "utf16-le.txt": ("Selection\tView\n".encode("utf-16-le"), "text"),
    "CONFIG.TXT": (b"Device ID\r\n", "text"), "empty.txt": (b"", "empty file"), "photo.JPG": (b"\xff\xd8\xff\xe0" + bytes(50), "picture"),
    "spectrogram.png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "picture"), "a.heic": (box(b"ftyp", b"heic" + bytes(4)), "picture"),
    "a.webp": (b"RIFF\0\0\0\0WEBP", "picture"), "paper.pdf": (b"%PDF-1.7\n\x80", "PDF"), "all.zip": (zipped(), "archive or office document"),
    "birds.xlsx": (zipped(), "archive or office document"), "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office document"),
    "all.tar": (bytes(257) + b"ustar" + bytes(200), "archive"), "x.sqlite": (b"SQLite format 3\0", "database"),
    "clip.mp4": (mp4(b"vide"), "video without sound"), "clip.mov": (mp4(b"vide", index_first=True), "video without sound"),
    "clip.webm": (mkv(b"V_VP8"), "video without sound"), "clip.avi": (b"RIFF\0\0\0\0AVI " + b"vids", "video without sound"),
    "chunk.bin": (np.random.default_rng(1).bytes(HEAD * 2), "unknown content"), "zeros": (bytes(9999), "unknown content"),
}  # fmt: skip


@pytest.mark.parametrize("name", AUDIO)
def test_an_audio_extension_or_audio_content_makes_a_recording(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(AUDIO[name])
    assert not_audio_kind(tmp_path / name) == ""


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_a_file_that_is_no_audio_by_extension_and_content_is_described(name: str, tmp_path: Path) -> None:
    data, kind = NOT_AUDIO[name]
    (tmp_path / name).write_bytes(data)
    assert not_audio_kind(tmp_path / name) == kind


def test_files_with_an_audio_extension_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.wav", "b.FLAC", "c.txt"):
        (tmp_path / name).write_bytes(b"words")
    opened: list[str] = []
    real_open = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *arguments: (opened.append(path.name), real_open(path, *arguments))[1]
    )
    listing = list_folder(tmp_path)
    assert (listing.recordings, listing.not_audio, opened) == (["a.wav", "b.FLAC"], {"c.txt": "text"}, ["c.txt"])


def test_random_bytes_are_not_audio_by_chance() -> None:
    rng = np.random.default_rng(7)
    kinds = {kind_of_content("x.bin", io.BytesIO(b"\1" + rng.bytes(HEAD))) for _ in range(60)}
    assert kinds == {"unknown content"}
