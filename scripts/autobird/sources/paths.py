"""Match paths that people wrote in tables with files: other separators, case, Unicode form, or `./` at the start."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from autobird.sources.base import RecordingMetadata


def path_key(path: str) -> str:
    """Return a text that is the same for all spellings of a path."""
    parts = unicodedata.normalize("NFC", path.replace("\\", "/")).casefold().split("/")
    return "/".join(p.strip() for p in parts if p.strip() not in ("", "."))


def match_metadata(
    metadata: list[RecordingMetadata], recordings: Sequence[str], notes: list[str]
) -> list[RecordingMetadata]:
    """Return metadata with the ids of the recordings that their paths mean; the others are returned unchanged.

    A path that is no id is compared by `path_key`, and must fit a single recording that has no metadata of its own.

    Args:
        metadata: `recording` is the path in the table.
        recordings: ids of all recordings.
        notes: messages are appended.
    """
    ids = set(recordings)
    exact = {m.recording for m in metadata if m.recording in ids}
    if len(exact) == len(metadata):
        return metadata
    keys = {m.recording: path_key(m.recording) for m in metadata if m.recording not in ids}
    wanted, by_key = set(keys.values()), dict[str, list[str]]()
    for name in recordings:
        if (key := path_key(name)) in wanted:
            by_key.setdefault(key, []).append(name)
    rows_per_key = Counter(keys.values())
    result, matched, ambiguous = [], [], []
    for m in metadata:
        names = by_key.get(keys.get(m.recording, ""), [])
        if m.recording in ids or not names:
            result.append(m)
        elif len(names) > 1 or rows_per_key[keys[m.recording]] > 1 or names[0] in exact:
            ambiguous.append(m.recording)
            result.append(m)
        else:
            matched.append(m.recording)
            result.append(m._replace(recording=names[0]))
    if matched:
        notes.append(
            f"{len(matched)} paths of the metadata table differ from their files in separators, case, spaces or Unicode form, for example "
            f"{matched[0]}"
        )
    if ambiguous:
        notes.append(
            f"{len(ambiguous)} rows of the metadata table fit several recordings, or a recording that has another row, and are "
            f"ignored, for example {ambiguous[0]}"
        )
    return sorted(result, key=lambda m: m.recording)


class PathFinder:
    """Finds the files that paths in a table mean, with one listing of each folder that has to be searched.

    Args:
        root: folder to which the paths are relative.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, dict[str, list[str]]] = {}

    def find(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the path, with `/`, of the file that each path means; paths of existing files and of none are left out."""
        return {p: found for p in paths if not (self._root / p).exists() and (found := self._find(p))}

    def _find(self, path: str) -> str:
        """Return the path of the only file that fits, "" if none or several fit."""
        text = path.replace("\\", "/")
        found = "/" if text.startswith("/") else ""
        for part in text.split("/"):
            if part in ("", "."):
                continue
            if part == "..":
                found += "../"
                continue
            names = self._names(found).get(path_key(part), [])
            exact = [name for name in names if name == part]
            if len(exact or names) != 1:
                return ""
            found += f"{(exact or names)[0]}/"
        return found.removesuffix("/")

    def _names(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            try:
                for name in os.listdir(self._root / folder):  # noqa: PTH208 - names, not paths
                    names.setdefault(path_key(name), []).append(name)
            except OSError:
                pass  # the rows of its files are reported
            self._folders[folder] = names
        return self._folders[folder]
