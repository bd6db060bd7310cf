"""Find the recordings in the files and folders that a user names."""

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from autobird.audio.folder_listing import list_folder
from autobird.core.errors import AutobirdError
from autobird.core.walk import printable


class FoundFiles(NamedTuple):
    """The recordings to classify.

    Attributes:
        files: paths, each once, in order.
        notes: messages for the user: files that are no audio, and entries that were passed over.
        below: path of each file below the folder that was named, with `/`, in the order of `files`; the name of a file that was
            named itself.
    """

    files: list[Path]
    notes: list[str]
    below: list[str]


def find_files(paths: Iterable[Path]) -> FoundFiles:
    """Return the files named, whatever they are, and the recordings below the folders named, each once, in order.

    Raises:
        AutobirdError: a path does not exist, or is a pipe, socket or device; a folder cannot be read; or there is no recording.
    """
    found: dict[Path, str] = {}
    notes: list[str] = []
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            reason = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise AutobirdError(f"{printable(str(path))} {reason}; give audio files, or folders of them") from error
        if stat.S_ISDIR(mode):
            listing = list_folder(path)
            for file in listing.recordings:
                found.setdefault(path / file, file)
            notes += [f"{printable(str(path))}: {note}" for note in listing.all_notes()]
        elif stat.S_ISREG(mode):
            found.setdefault(path, path.name)
        else:
            raise AutobirdError(
                f"{printable(str(path))} is a pipe, socket or device; give audio files, or folders of them"
            )
    if not found:
        reasons = f" ({'; '.join(notes)})" if notes else ""
        raise AutobirdError(f"there is no recording in what was named{reasons}; give audio files, or folders of them")
    return FoundFiles(list(found), notes, [printable(below) for below in found.values()])
