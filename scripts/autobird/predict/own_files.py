"""The files of a folder that Autobird wrote and nobody has changed since: a later run may replace or remove these alone."""

import hashlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from autobird.core.errors import AutobirdError
from autobird.core.files import write_text

MANIFEST = ".autobird.sha256"
"""Name of the list of the files, in the format of `sha256sum`: checksum, two spaces and the path in the folder with `/`."""


class OwnFiles:
    """The list of the files that Autobird wrote into a folder.

    A file is added to the list before it is written, so that an interrupted run leaves no file that is not in it. A file that was written
    several times has a line for each; the checksum of one of them must match.

    Args:
        folder: the folder.

    Raises:
        AutobirdError: the list cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / MANIFEST
        self._checksums: dict[str, set[str]] = {}
        if not self._path.exists():
            return
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise AutobirdError(f"{self._path} cannot be read ({error}); name another --output") from error
        for line in lines:
            checksum, _, name = line.partition("  ")
            # The list of a folder that was copied from elsewhere must not name files outside.
            if name and not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts:
                self._checksums.setdefault(name, set()).add(checksum)

    def write(self, name: str, text: str) -> None:
        """Write a file, and add it to the list before."""
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if checksum not in self._checksums.setdefault(name, set()):
            self._checksums[name].add(checksum)
            with self._path.open("a", encoding="utf-8", newline="") as file:
                file.write(f"{checksum}  {name}\n")
        write_text(self._folder / name, text)

    def finish(self) -> None:
        """Sort the list, so that it does not depend on the order of completion."""
        lines = [f"{checksum}  {name}\n" for name, checksums in self._checksums.items() for checksum in checksums]
        write_text(self._path, "".join(sorted(lines, key=lambda line: line.partition("  ")[2])))

    def clear(self, wanted: Collection[str]) -> list[str]:
        """Remove the files of earlier runs and their list, before a run writes its own.

        Args:
            wanted: files that the run will write.

        Returns:
            Files of earlier runs that stay, because somebody has changed them.

        Raises:
            AutobirdError: one of `wanted` is there and was not written by Autobird, or was changed; nothing is removed then.
        """
        own = {name for name in self._checksums if self._is_unchanged(name)}
        for name in wanted:
            if name not in own and (self._folder / name).exists():
                raise AutobirdError(
                    f"{self._folder / name} would be overwritten, but it was changed since autobird predict wrote it, or is not from it; "
                    "move it to another folder, or name another --output"
                )
        for name in own:
            (self._folder / name).unlink()
        for name in own:
            self._remove_empty((self._folder / name).parent)
        changed = {name: sums for name, sums in self._checksums.items() if (self._folder / name).exists()}
        self._path.unlink(missing_ok=True)
        self._checksums = {}
        return sorted(changed)

    def _is_unchanged(self, name: str) -> bool:
        path = self._folder / name
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() in self._checksums[name]

    def _remove_empty(self, folder: Path) -> None:
        while folder != self._folder and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
