"""A folder of unlabelled field recordings, as batch manifests for `snakemake predict` and the drift test."""

from pathlib import Path

from autobird.audio.folder_listing import list_folder
from autobird.core.errors import AutobirdError
from autobird.core.hashing import batch_of, hash_files
from autobird.sources.manifest import CsvTable, Manifests


class FieldRecordings:
    """All recordings below a folder, assigned to batches by a stable hash of their path.

    Attributes:
        manifests: one table per batch, with the columns recording and sha256 ("" if the file cannot be read). A path that is
            not UTF-8 is in its printable form.
        sizes: bytes of each file, by batch.
        notes: messages for the user: files that are no audio, and entries that were passed over.

    Args:
        root: the folder.
        cache: file of the checksum cache.
        batches: number of batches.
        setting: name of the setting that gives the folder, for messages.

    Raises:
        AutobirdError: `root` is not a folder, holds no recordings, or has a folder that cannot be read.
    """

    def __init__(self, root: Path, cache: Path, batches: int, setting: str) -> None:
        if not root.is_dir():
            raise AutobirdError(f"{setting}: {root} is not a folder; give a folder of recordings")
        listing = list_folder(root)
        self.notes = [f"{setting}: {note}" for note in listing.all_notes()]
        if not listing.recordings:
            reasons = f" ({'; '.join(listing.all_notes())})" if self.notes else ""
            raise AutobirdError(f"{setting}: {root} holds no recordings{reasons}; give a folder of recordings")
        tables = [CsvTable("recording", "sha256") for _ in range(batches)]
        self.sizes: list[list[int]] = [[] for _ in range(batches)]
        for file in hash_files(root, listing.recordings, cache):
            batch = batch_of(file.name, batches)
            tables[batch].add(file.name, file.sha256 or "")
            self.sizes[batch].append(file.size)
        self.manifests = Manifests({str(batch): table for batch, table in enumerate(tables)})
