"""The recordings of a folder by batch, for `snakemake predict` and for drift: what they are, by content."""

from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text
from autobird.core.hashing import batch_of, digest_of, hashed_files


class FolderListing:
    """Names and sha256 of all files below a folder, dealt to batches by a hash of the name.

    Attributes:
        sizes: bytes of each file, by batch.
    """

    def __init__(self, root: Path, cache: Path, batches: int, key: str) -> None:
        if not root.is_dir():
            raise AutobirdError(f"{key}: {root} is not a folder; give a folder of recordings")
        found = hashed_files(root, cache)
        if not found:
            raise AutobirdError(f"{key}: {root} holds no files; give a folder of recordings")
        tables: list[list[list[str]]] = [[] for _ in range(batches)]
        self.sizes: list[list[int]] = [[] for _ in range(batches)]
        for _, name, digest, size in found:
            batch = batch_of(name, batches)
            tables[batch].append([name, digest or ""])
            self.sizes[batch].append(size)
        self._texts = [csv_text([["recording", "sha256"], *rows]) for rows in tables]

    def text(self, batch: int) -> str:
        """The table of a batch as CSV."""
        return self._texts[batch]

    def digest(self, batch: int) -> str:
        """sha256 of a batch's table."""
        return digest_of(self._texts[batch])
