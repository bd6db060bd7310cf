"""Find the recording that an annotation table, or one of its rows, belongs to."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from autobird.audio.file_kind import AUDIO_EXTENSIONS, CONTAINER_EXTENSIONS
from autobird.sources.paths import path_key


class Match(NamedTuple):
    """The result of a search for a recording.

    Attributes:
        recording: id of the recording; "" if none matches, or if several match equally well.
        candidates: the recordings that match equally well, sorted; empty if there are fewer than two.
        shared: number of equal components of the path in the table and the path of the recording, counted from their ends.
    """

    recording: str
    candidates: tuple[str, ...] = ()
    shared: int = 0


class RecordingFinder:
    """Finds the recordings of a source by name or path, ignoring case, Unicode form and folders above the source.

    Args:
        recordings: ids of the recordings, paths with `/`.
    """

    def __init__(self, recordings: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for recording in sorted(recordings):
            name = path_key(recording).rpartition("/")[2]
            self._by_name[name].append(recording)
            self._by_stem[_stem(name)].append(recording)

    def named(self, file: str, folder: str = "") -> Match:
        """Return the recording that a row of a table names.

        Of the recordings with the same file name, the one that shares the most path components with `file` is returned; if
        there are several, the one in `folder`. If no recording has this file name, names are compared without the extension of
        an audio file, because the recording may have been converted to another format.

        Args:
            file: path or name of the recording in the table, with `/`.
            folder: folder of the table, relative to the source.
        """
        key = path_key(file)
        name = key.rpartition("/")[2]
        if name in self._by_name:
            return _best(self._by_name[name], key, folder)
        found = self._by_stem.get(name, [])
        if name.rpartition(".")[2] in AUDIO_EXTENSIONS | CONTAINER_EXTENSIONS:
            return _best(found + self._by_stem.get(_stem(name), []), key, folder)
        # A name without an extension, such as `site1.2024`: what follows its dot distinguishes it from other recordings.
        return _best(found, f"{key}.", folder)

    def described_by(self, table: str) -> Match:
        """Return the recording that a table belongs to: the name of the table begins with that of the recording.

        If several recordings match, the longest name is chosen. Recordings in the folder of the table have priority; of those in
        other folders, the one that shares the most path components with the table is returned.

        Args:
            table: path of the table relative to the source, for example `x/dawn.Table.1.selections.txt`.
        """
        folder, _, name = table.rpartition("/")
        parts = path_key(name).split(".")
        elsewhere: list[str] = []
        for count in range(len(parts) - 1, 0, -1):
            beginning = ".".join(parts[:count])
            found = self._by_name.get(beginning) or self._by_stem.get(beginning) or []
            here = [r for r in found if _folder(r) == folder]
            if here:
                return Match(here[0]) if len(here) == 1 else Match("", tuple(here))
            elsewhere = elsewhere or found
        # Both paths get the name of the recording, so that only their folders are compared.
        name = elsewhere[0].rpartition("/")[2] if elsewhere else ""
        return _best(elsewhere, f"{path_key(folder)}/{path_key(name)}", folder)


def _best(found: list[str], key: str, folder: str) -> Match:
    """Return the recording of `found` that shares the most path components with `key`; if there are several, that in `folder`."""
    shared = {r: _shared_end(path_key(r), key) for r in found}
    most = max(shared.values(), default=0)
    found = [r for r in found if shared[r] == most]
    if len(found) > 1 and (here := [r for r in found if _folder(r) == folder]):
        found = here
    if len(found) > 1:
        return Match("", tuple(found), most)
    return Match(found[0] if found else "", shared=most)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _shared_end(a: str, b: str) -> int:
    """Return the number of equal components of two paths, counted from their ends, ignoring the file extension."""
    count = 0
    for left, right in zip(reversed(_parts(a)), reversed(_parts(b)), strict=False):
        if left != right:
            break
        count += 1
    return count


def _parts(path: str) -> list[str]:
    folder, _, name = path.rpartition("/")
    return [*filter(None, folder.split("/")), _stem(name)]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if "." in name[1:] else name
