"""A folder of field recordings without labels, as batch manifests: for `snakemake predict` and the drift report."""

from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.hashing import batch_of, hashed_files
from autobird.sources.manifest import CsvTable, Manifests


class FieldRecordings:
    """All files below a folder, assigned to batches by a stable hash of their path.

    Attributes:
        manifests: one table a batch, with the columns recording and sha256 ("" where a file cannot be read).
        sizes: bytes of each file, by batch.

    Args:
        root: the folder.
        cache: file of the checksum cache.
        batches: number of batches.
        key: the setting that names the folder, for messages.

    Raises:
        AutobirdError: `root` is not a folder, or holds no file.
    """

    def __init__(self, root: Path, cache: Path, batches: int, key: str) -> None:
        if not root.is_dir():
            raise AutobirdError(f"{key}: {root} is not a folder; give a folder of recordings")
        found = hashed_files(root, cache)
        if not found:
            raise AutobirdError(f"{key}: {root} holds no files; give a folder of recordings")
        tables = [CsvTable("recording", "sha256") for _ in range(batches)]
        self.sizes: list[list[int]] = [[] for _ in range(batches)]
        for _, name, digest, size in found:
            batch = batch_of(name, batches)
            tables[batch].add(name, digest or "")
            self.sizes[batch].append(size)
        self.manifests = Manifests({str(number): table for number, table in enumerate(tables)})
