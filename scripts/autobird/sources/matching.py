"""Which recording an annotation table, or a row of one, describes."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class Match(NamedTuple):
    """The recording that was found.

    Attributes:
        recording: its id, or "" if there is none, or more than one.
        candidates: the recordings that fit equally well where there is more than one, sorted.
        shared: how many parts the path in the table and that of the recording have in common, counted from their ends.
    """

    recording: str
    candidates: tuple[str, ...] = ()
    shared: int = 0


class Recordings:
    """The recordings of a source, found by their names and paths without regard to case, Unicode form and folders above the source.

    Args:
        recordings: their ids, paths with `/`.
    """

    def __init__(self, recordings: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for recording in sorted(recordings):
            name = _key(recording).rpartition("/")[2]
            self._by_name[name].append(recording)
            self._by_stem[_stem(name)].append(recording)

    def named(self, file: str, folder: str = "") -> Match:
        """Return the recording that a table calls `file`.

        That is the one whose path ends with most of the parts of `file`. Of several, one in `folder` is taken. A file that was
        converted is found by its name without extension.

        Args:
            file: path or name, with `/`.
            folder: folder of the table, relative to the source.
        """
        key = _key(file)
        name = key.rpartition("/")[2]
        found = self._by_name.get(name) or self._by_stem.get(_stem(name)) or self._by_stem.get(name) or []
        return _best(found, key, folder)

    def described_by(self, table: str) -> Match:
        """Return the recording to whose name the name of a table belongs: the longest one with which it begins.

        Recordings in the table's folder come first, then those in other folders, compared by the folders that they share.

        Args:
            table: path of the table relative to the source, like `x/dawn.Table.1.selections.txt`.
        """
        folder, _, name = table.rpartition("/")
        parts = _key(name).split(".")
        elsewhere: list[str] = []
        for count in range(len(parts) - 1, 0, -1):
            beginning = ".".join(parts[:count])
            found = self._by_name.get(beginning) or self._by_stem.get(beginning) or []
            here = [r for r in found if _folder(r) == folder]
            if here:
                return Match(here[0]) if len(here) == 1 else Match("", tuple(here))
            elsewhere = elsewhere or found
        # The name of the recording itself is part of both paths, so that what is compared are the folders.
        name = elsewhere[0].rpartition("/")[2] if elsewhere else ""
        return _best(elsewhere, f"{_key(folder)}/{_key(name)}", folder)


def _best(found: list[str], key: str, folder: str) -> Match:
    """Return the one of `found` that shares most parts with the path `key`; of several, the one in `folder`."""
    shared = {r: _shared_end(_key(r), key) for r in found}
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
    """The number of parts that two paths have in common, counted from their ends; the extension of a file does not count."""
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


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
