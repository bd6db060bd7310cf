"""A private copy of a bundle and the table of thresholds beside it, and whether the originals have changed since."""

import shutil
import tempfile
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.predict.overlay_path import overlay_path

MANIFEST = "manifest.json"
"""`predict.bundle.MANIFEST`; that module imports NumPy, which the front does not need."""

Signature = tuple[tuple[str, int, int, int], ...]
"""Path, size, time of change (ns) and inode of every file."""


def signature(folder: Path) -> Signature:
    """Return what changes when the bundle, a link to it, or the table of thresholds beside it is replaced."""
    real = folder.resolve()
    try:
        files = sorted(real.iterdir())
    except OSError:
        files = []
    found = []
    for file in (*files, overlay_path(folder)):
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
        self._temporary = Path(tempfile.mkdtemp(prefix="autobird-bundle-"))
        self.folder = self._temporary / folder.resolve().name
        try:
            if (folder / MANIFEST).is_file():  # a wrong path, for example that of a run, is not copied
                shutil.copytree(folder, self.folder, ignore=_subfolders)
            table = overlay_path(folder)
            if table.is_file():
                shutil.copyfile(table, overlay_path(self.folder))
        except (OSError, shutil.Error) as error:
            self.remove()
            raise AutobirdError(f"{folder} cannot be read ({error}); copy the bundle again") from error

    def message(self, text: str) -> str:
        """Return a message about the copy as one about the original."""
        table = overlay_path(self.folder)
        return text.replace(str(table), str(overlay_path(self.original))).replace(str(self.folder), str(self.original))

    def remove(self) -> None:
        """Delete the copy."""
        shutil.rmtree(self._temporary, ignore_errors=True)


def _subfolders(folder: str, names: list[str]) -> list[str]:
    """A bundle has no subfolders."""
    return [name for name in names if (Path(folder) / name).is_dir()]
