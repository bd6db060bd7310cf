"""A folder of unlabelled field recordings, as batch manifests for `snakemake predict` and the drift test."""

from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.hashing import batch_of, hashed_files
from autobird.sources.manifest import CsvTable, Manifests


class FieldRecordings:
    """All files below a folder, assigned to batches by a stable hash of their path.

    Attributes:
        manifests: one table per batch, with the columns recording and sha256 ("" if the file cannot be read).
        sizes: bytes of each file, by batch.

    Args:
        root: the folder.
        cache: file of the checksum cache.
        batches: number of batches.
        setting: name of the setting that gives the folder, for messages.

    Raises:
        AutobirdError: `root` is not a folder, or holds no file.
    """

    def __init__(self, root: Path, cache: Path, batches: int, setting: str) -> None:
        if not root.is_dir():
            raise AutobirdError(f"{setting}: {root} is not a folder; give a folder of recordings")
        files = hashed_files(root, cache)
        if not files:
            raise AutobirdError(f"{setting}: {root} holds no files; give a folder of recordings")
        tables = [CsvTable("recording", "sha256") for _ in range(batches)]
        self.sizes: list[list[int]] = [[] for _ in range(batches)]
        for file in files:
            batch = batch_of(file.name, batches)
            tables[batch].add(file.name, file.sha256 or "")
            self.sizes[batch].append(file.size)
        self.manifests = Manifests({str(batch): table for batch, table in enumerate(tables)})
