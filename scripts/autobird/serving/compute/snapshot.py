"""A private copy of a bundle and the table of thresholds beside it, and whether the originals have changed since."""

import shutil
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.predict.overlay_path import overlay_path
from autobird.serving.compute.own_folder import OwnFolder

MANIFEST = "manifest.json"
"""`predict.bundle.MANIFEST`; that module imports NumPy, which the front does not need."""

Signature = tuple[tuple[str, int, int, int], ...]
"""Path, size, time of change (ns) and inode of every file."""


def signature(folder: Path) -> Signature:
    """Return what changes when the bundle, a link to it, or the table of thresholds beside it is replaced."""
    try:
        files = [overlay_path(folder)]
        files = [*sorted(folder.resolve().iterdir()), *files]
    except OSError:  # there is no folder
        pass
    except RuntimeError:  # links that lead to each other
        return ()
    found = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((str(file), status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(found)


class Snapshot:
    """A copy of a bundle in a temporary folder.

    Compute processes load the copy, so that one that is started later, in place of one that crashed, loads the same bundle, even
    while files of the original are being replaced.

    Args:
        folder: the bundle.

    Raises:
        AutobirdError: it cannot be copied.
    """

    def __init__(self, folder: Path) -> None:
        self.original, self.signature = folder, signature(folder)
        try:
            self._temporary = OwnFolder("autobird-bundle-")
        except OSError as error:
            raise _copy_error(folder, error) from error
        try:
            self.folder = self._temporary.path / folder.resolve().name
            if (folder / MANIFEST).is_file():  # a wrong path, for example that of a run, is not copied
                self.folder.mkdir()
                for file in folder.iterdir():
                    if not file.is_dir():
                        shutil.copyfile(file, self.folder / file.name)
            table = overlay_path(folder)
            if table.is_file():
                shutil.copyfile(table, overlay_path(self.folder))
        except (OSError, RuntimeError) as error:
            self.remove()
            raise _copy_error(folder, error) from error

    def message(self, text: str) -> str:
        """Return a message about the copy as one about the original."""
        table = overlay_path(self.folder)
        return text.replace(str(table), str(overlay_path(self.original))).replace(str(self.folder), str(self.original))

    def remove(self) -> None:
        """Delete the copy."""
        self._temporary.remove()


def _copy_error(folder: Path, error: OSError | RuntimeError) -> AutobirdError:
    reason = getattr(error, "strerror", None) or error
    return AutobirdError(
        f"{folder} cannot be copied to the folder of temporary files ({reason}); make space there, or set TMPDIR to "
        "another folder"
    )
