"""The recordings below a folder, the files that are no audio, and what is passed over."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from autobird.audio.file_kind import has_audio_extension, not_audio_kind
from autobird.core.walk import FolderWalk, printable
from autobird.core.wording import counted

_THREADS = 4 * (os.cpu_count() or 1)
"""Threads that look into files without an audio extension; on network storage they mostly wait."""

_CHUNK = 256
"""Files per job of the thread pool, to bound the memory of its queue."""


class FolderListing(NamedTuple):
    """The files below a folder.

    Attributes:
        recordings: paths relative to the folder, with `/`, as the file system stores them; sorted.
        not_audio: path of each file that is no audio, and what it is; sorted.
        notes: messages about entries that were passed over (`core.walk.FolderWalk`).
    """

    recordings: list[str]
    not_audio: dict[str, str]
    notes: list[str]

    def all_notes(self) -> list[str]:
        """Return `notes`, and a message about the files that are no audio."""
        if not self.not_audio:
            return self.notes
        return [not_audio_note(self.not_audio.values(), min(self.not_audio)), *self.notes]


def list_folder(root: Path, excluded: Path | None = None) -> FolderListing:
    """Return the files below a folder, except the file `excluded`.

    Raises:
        AutobirdError: a folder cannot be read.
    """
    walk = FolderWalk(root)
    files = [f for f in walk.files if root / f != excluded] if excluded else walk.files
    not_audio = not_audio_files(root, files)
    recordings = [f for f in files if f not in not_audio] if not_audio else files
    return FolderListing(recordings, not_audio, walk.notes())


def not_audio_files(root: Path, files: Sequence[str]) -> dict[str, str]:
    """Return the files that are no audio, and what each is. Only files without an audio extension are opened."""
    candidates = [f for f in files if not has_audio_extension(f)]
    if not candidates:
        return {}
    chunks = [candidates[at : at + _CHUNK] for at in range(0, len(candidates), _CHUNK)]
    with ThreadPoolExecutor(_THREADS) as pool:
        kinds = pool.map(lambda chunk: [not_audio_kind(root / f) for f in chunk], chunks)
        return {f: kind for f, kind in zip(candidates, chain.from_iterable(kinds), strict=True) if kind}


def not_audio_note(kinds: Iterable[str], example: str) -> str:
    """Return a message about files that are no audio.

    Args:
        kinds: what each file is; at least one.
        example: path of one of them.
    """
    counts = Counter(kinds)
    listed = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    found = f"{counted(counts.total(), 'file is', 'files are')} not audio ({listed}), for example {printable(example)}"
    return f"{found}; passed over"
