"""A folder of unlabelled recordings that a student learns the teacher's answers to, as batch manifests."""

from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.hashing import batch_of
from autobird.sources.base import SHA256_PREFIX
from autobird.sources.folder import FolderSource
from autobird.sources.licences import allowed
from autobird.sources.manifest import CsvTable, Manifests
from autobird.sources.policy import read_take_down_list
from autobird.sources.settings import SourceSettings


class UnlabelledRecordings:
    """The recordings below a folder that may be used, assigned to batches by a stable hash of their path.

    The licences that `corpus.licences.train` allows and the list `corpus.take_down` apply as for the corpus; the licence of a
    recording is that of the metadata table of the folder, SOURCES.csv or metadata.csv. A recording without one is treated as one
    under the strictest licence.

    Attributes:
        manifests: one table per batch, with the columns recording and sha256.
        sizes: bytes of each file, by batch.
        notes: messages for the user: what is left out, and why.

    Args:
        root: the folder.
        cache: file of the checksum cache.
        batches: number of batches.
        settings: of the corpus.

    Raises:
        AutobirdError: `root` is not a folder, or holds no recording that may be used.
    """

    def __init__(self, root: Path, cache: Path, batches: int, settings: SourceSettings) -> None:
        if not root.is_dir():
            raise AutobirdError(f"train.unlabelled: {root} is not a folder; give a folder of recordings")
        source = FolderSource(root, cache)
        files, metadata = source.files(), {m.recording: m for m in source.metadata()}
        take_down = read_take_down_list(settings)
        tables = [CsvTable("recording", "sha256") for _ in range(batches)]
        self.sizes: list[list[int]] = [[] for _ in range(batches)]
        left_out = {"no audio, or cannot be read": 0, "taken down": 0, "licence not in corpus.licences.train": 0}
        used = 0
        for file in files:
            known = metadata.get(file.recording)
            if file.problem:
                left_out["no audio, or cannot be read"] += 1
            elif take_down.covers(file, known):
                left_out["taken down"] += 1
            elif not allowed(known.licence if known else "", settings.licences.train):
                left_out["licence not in corpus.licences.train"] += 1
            else:
                batch = batch_of(file.recording, batches)
                tables[batch].add(file.recording, file.content.removeprefix(SHA256_PREFIX))
                self.sizes[batch].append(file.size)
                used += 1
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        if not used:
            raise AutobirdError(
                f"train.unlabelled: {root} holds no recording that may be used ({reasons or 'it is empty'}); give another folder, or "
                "remove train.unlabelled"
            )
        notes = [*source.notes(), *([f"{used} recordings used; left out: {reasons}"] if reasons else [])]
        self.notes = [f"train.unlabelled: {note}" for note in notes]
        self.manifests = Manifests({str(batch): table for batch, table in enumerate(tables)})
