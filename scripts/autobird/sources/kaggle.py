"""A data set of Kaggle's: a folder or a zip on a disk, or what kagglehub downloaded."""

import os
import zipfile
from pathlib import Path, PurePosixPath

from autobird.core.errors import AutobirdError
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.folder import FolderSource, species_row
from autobird.sources.lock import LockMissing
from autobird.sources.settings import KaggleSettings, SourceSettings

_SUFFIX = "_sound"
_AUDIO = (".mp3", ".wav", ".ogg", ".flac", ".m4a")


def downloaded(kaggle: KaggleSettings) -> Path:
    """Where kagglehub keeps the data set on this machine."""
    cache = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
    return Path(cache) / "datasets" / kaggle.dataset / "versions" / str(kaggle.version)


def zip_of(corpus: SourceSettings) -> Path | None:
    """The zip that `corpus.root` names, if it is one."""
    root = Path(corpus.root or "").expanduser()
    return root if root.suffix.lower() == ".zip" else None


def folder_of(corpus: SourceSettings) -> Path:
    """The folder that holds one folder per species, however deep the data set buries it.

    Raises:
        LockMissing: not downloaded yet.
        AutobirdError: `corpus.root` is no folder, or no audio lies below it.
    """
    root = Path(corpus.root).expanduser() if corpus.root else downloaded(corpus.kaggle)
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
        if any(f.endswith(_SUFFIX) for f in folders):
            return Path(folder)
        if any(f.lower().endswith(_AUDIO) for f in files) and Path(folder) != root:
            return Path(folder).parent
    raise AutobirdError(f"{root} holds no audio; give the data set's folder or zip as corpus.root")


def kaggle_source(corpus: SourceSettings, cache: Path) -> Source:
    """The source of the data set; the suffix of its species folders is `_sound` if the configuration names none."""
    suffix = corpus.species_suffix or _SUFFIX
    archive = zip_of(corpus)
    if archive is not None:
        return ZipSource(archive, suffix)
    return FolderSource(folder_of(corpus), cache, corpus.metadata, suffix=suffix)


class ZipSource(Source):
    """The audio files in a zip; what lies above the species folders is left off their names."""

    def __init__(self, archive: Path, suffix: str) -> None:
        self.name = f"corpus.root: {archive}"
        try:
            with zipfile.ZipFile(archive) as opened:
                members = [m for m in opened.infolist() if not m.is_dir()]
        except (OSError, zipfile.BadZipFile) as error:
            raise AutobirdError(f"{self.name} is no zip that can be read ({error}); download it again") from error
        rows: list[ListedRecording] = []
        for member in members:
            path = PurePosixPath(member.filename)
            if path.suffix.lower() not in _AUDIO:
                continue
            name = "/".join(path.parts[-2:])
            content = f"zip:{member.CRC:08x}-{member.file_size}"
            location = f"zip://{member.filename}"
            rows.append(species_row(name, content, member.file_size, suffix, location))
        self._rows = sorted(rows, key=lambda r: r.recording)

    def recordings(self) -> list[ListedRecording]:
        """Every audio file, known by its CRC-32 and size as the zip's directory has them."""
        return self._rows

    def metadata(self) -> list[RecordingMetadata]:
        """Nothing: tables in a zip are not read."""
        return []
