"""A Kaggle data set as a source: a folder, a zip file, or the folder into which kagglehub downloaded it."""

import os
import zipfile
from pathlib import Path, PurePosixPath

from autobird.core.errors import AutobirdError
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.folder import FolderSource, labelled_recording
from autobird.sources.lock import LockMissing
from autobird.sources.settings import KaggleSettings, SourceSettings

_SPECIES_SUFFIX = "_sound"
"""End of the species folders' names in the default data set."""

_AUDIO_EXTENSIONS = (".mp3", ".wav", ".ogg", ".flac", ".m4a")


def _download_folder(kaggle: KaggleSettings) -> Path:
    """Return the folder into which kagglehub downloads the data set on this machine."""
    cache = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
    return Path(cache) / "datasets" / kaggle.dataset / "versions" / str(kaggle.version)


def kaggle_archive(corpus: SourceSettings) -> Path | None:
    """Return the zip file at `corpus.root`; None if that is not a zip file."""
    root = Path(corpus.root or "").expanduser()
    return root if root.suffix.lower() == ".zip" else None


def kaggle_folder(corpus: SourceSettings) -> Path:
    """Return the folder that holds one folder per species, at any depth in the data set.

    Raises:
        LockMissing: the data set has not been downloaded yet.
        AutobirdError: `corpus.root` is not a folder, or there is no audio file below it.
    """
    root = Path(corpus.root).expanduser() if corpus.root else _download_folder(corpus.kaggle)
    if not root.is_dir():
        if corpus.root:
            raise AutobirdError(
                f"corpus.root: {root} is neither a folder nor a .zip; give the data set's folder or zip"
            )
        raise LockMissing(
            f"{corpus.kaggle.dataset} version {corpus.kaggle.version} is not on this machine; run "
            "`snakemake refresh_sources` (needs kagglehub), or download its zip and set corpus.root to it"
        )
    for folder, folders, files in os.walk(root):
        folders.sort()
        if any(f.endswith(_SPECIES_SUFFIX) for f in folders):
            return Path(folder)
        if any(f.lower().endswith(_AUDIO_EXTENSIONS) for f in files) and Path(folder) != root:
            return Path(folder).parent
    raise AutobirdError(f"{root} holds no audio; give the data set's folder or zip as corpus.root")


def kaggle_source(corpus: SourceSettings, cache: Path) -> Source:
    """Return the source of the data set. `_sound` is the default of `corpus.species_suffix` here."""
    suffix = corpus.species_suffix or _SPECIES_SUFFIX
    archive = kaggle_archive(corpus)
    if archive is not None:
        return ZipSource(archive, suffix)
    return FolderSource(kaggle_folder(corpus), cache, corpus.metadata, suffix=suffix)


class ZipSource(Source):
    """The audio files in a zip file. Folders above the species folders are not part of the recordings' ids.

    Args:
        archive: the zip file.
        suffix: removed from the end of the species folders' names.

    Raises:
        AutobirdError: the zip file cannot be read.
    """

    def __init__(self, archive: Path, suffix: str) -> None:
        self.name = f"corpus.root: {archive}"
        try:
            with zipfile.ZipFile(archive) as opened:
                members = [m for m in opened.infolist() if not m.is_dir()]
        except (OSError, zipfile.BadZipFile) as error:
            raise AutobirdError(f"{self.name} is not a readable zip file ({error}); download it again") from error
        recordings: list[ListedRecording] = []
        for member in members:
            path = PurePosixPath(member.filename)
            if path.suffix.lower() not in _AUDIO_EXTENSIONS:
                continue
            name = "/".join(path.parts[-2:])
            content = f"zip:{member.CRC:08x}-{member.file_size}"
            location = f"zip://{member.filename}"
            recordings.append(labelled_recording(name, content, member.file_size, suffix, location))
        self._recordings = sorted(recordings, key=lambda r: r.recording)

    def recordings(self) -> list[ListedRecording]:
        """Return every audio file. CRC-32 and size in the zip's directory identify its content."""
        return self._recordings

    def metadata(self) -> list[RecordingMetadata]:
        """Return an empty list: metadata tables in a zip file are not read."""
        return []
