"""The recordings in a zip file as a source."""

import contextlib
import zipfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, cast

from autobird.audio.file_kind import has_audio_extension, kind_of_content
from autobird.core.errors import AutobirdError
from autobird.core.system_names import is_system_name
from autobird.core.walk import Tally
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.folder import labelled_recording, not_audio

_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1
"""Bits of the flags of an entry: its name is UTF-8; its content is encrypted."""


class _Member(NamedTuple):
    """An entry of a zip file, and its path with `/`."""

    info: zipfile.ZipInfo
    path: str


class ZipSource(Source):
    """The recordings in a zip file, in the layout `<any folders>/<Species name>/<any depth>/<file>`.

    The id of a recording is its path below the folder that holds all species folders. Hidden and system entries are passed over,
    and files that are no audio are told apart, as in a folder.

    Args:
        archive: the zip file.
        suffix: removed from the end of the species folders' names.

    Raises:
        AutobirdError: the zip file cannot be read.
    """

    def __init__(self, archive: Path, suffix: str) -> None:
        self.name = f"corpus.root: {archive}"
        self._hidden, self._cp437 = Tally(), Tally()
        try:
            with zipfile.ZipFile(archive) as opened:
                members = [m for info in opened.infolist() if not info.is_dir() and (m := self._member(info))]
                kinds = {m.info.filename: _kind(opened, m) for m in members}
        except (OSError, zipfile.BadZipFile) as error:
            raise AutobirdError(f"{self.name} is not a readable zip file ({error}); download it again") from error
        base = _species_root([m.path for m in members if not kinds[m.info.filename]], suffix)
        seen: set[str] = set()
        listed = [self._listed(m, kinds[m.info.filename], base, suffix, seen) for m in members]
        self._recordings = sorted(listed, key=lambda r: r.recording)

    def recordings(self) -> list[ListedRecording]:
        """Return every file. CRC-32 and size in the zip's directory identify its content."""
        return self._recordings

    def metadata(self) -> list[RecordingMetadata]:
        """Return an empty list: metadata tables in a zip file are not read."""
        return []

    def notes(self) -> list[str]:
        """Return how many entries were passed over, and how many names have an uncertain encoding."""
        notes = []
        if self._hidden.count:
            notes.append(
                f"{self._hidden.count} hidden and system files were passed over, for example {self._hidden.example}"
            )
        if self._cp437.count:
            notes.append(
                f"{self._cp437.count} names in the zip file are not UTF-8 and were read as code page 437, the standard of zip files; check "
                f"their letters, for example {self._cp437.example}"
            )
        return notes

    def _member(self, info: zipfile.ZipInfo) -> _Member | None:
        """Return an entry; None if it is passed over."""
        name = info.filename
        is_utf8 = info.flag_bits & _UTF8_FLAG or name.isascii()
        if not is_utf8:
            # Python decodes names without the flag as code page 437. Many programs write UTF-8 without the flag.
            with contextlib.suppress(UnicodeError):
                name, is_utf8 = name.encode("cp437").decode(), True
        path = "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
        if any(map(is_system_name, path.split("/"))):
            self._hidden.add(path)
            return None
        if not is_utf8:
            self._cp437.add(path)
        return _Member(info, path)

    @staticmethod
    def _listed(member: _Member, kind: str, base: str, suffix: str, seen: set[str]) -> ListedRecording:
        """Return the listing of an entry. An id that occurs again gets a suffix, so that every entry is listed."""
        if kind:
            return not_audio(member.path, kind)
        info, name = member.info, member.path.removeprefix(base)
        content = f"zip:{info.CRC:08x}-{info.file_size}"
        if name in seen:
            name = f"{name}#again-at-{info.header_offset}"
            problem = "another file of the zip has the same name; rename one of them"
        else:
            problem = "the file is encrypted; extract the zip file" if info.flag_bits & _ENCRYPTED_FLAG else ""
        seen.add(name)
        listed = labelled_recording(name, content, info.file_size, suffix, f"zip://{info.filename}")
        return listed._replace(problem=listed.problem or problem)


def _kind(archive: zipfile.ZipFile, member: _Member) -> str:
    """Return what a file is if it is no audio by extension and content; see `audio.file_kind.not_audio_kind`."""
    if has_audio_extension(member.path):
        return ""
    try:
        with archive.open(member.info) as file:
            return kind_of_content(member.path, cast(BinaryIO, file))
    except (OSError, RuntimeError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return ""  # it is listed, and cannot be read later


def _species_root(files: list[str], suffix: str) -> str:
    """Return the folder that holds all species folders, with a `/` at its end, or "".

    That is the deepest folder that holds all files; the one above it, if it holds files itself and fewer than two folders, because
    then it is a species folder. A folder whose name ends with `suffix` is a species folder.
    """
    folders = [PurePosixPath(file).parent.parts for file in files]
    if not folders:
        return ""
    first, last = min(folders), max(folders)
    depth = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    common = first[:depth]
    named = next((i for i, part in enumerate(common) if suffix and part.endswith(suffix)), None)
    if named is not None:
        common = common[:named]
    elif common and any(len(folder) == depth for folder in folders):
        subfolders = {folder[depth] for folder in folders if len(folder) > depth}
        common = common[:-1] if len(subfolders) < 2 else common
    return "".join(f"{part}/" for part in common)
