"""A Kaggle data set as a source: a folder, a zip file, or the folder into which kagglehub downloaded it."""

import os
from pathlib import Path

from autobird.audio.file_kind import has_audio_extension
from autobird.core.errors import AutobirdError
from autobird.core.system_names import is_system_name
from autobird.sources.base import Source
from autobird.sources.folder import FolderSource
from autobird.sources.lock import LockMissing
from autobird.sources.remote.settings import KaggleSettings
from autobird.sources.settings import OneSourceSettings
from autobird.sources.zip_file import ZipSource

_SPECIES_SUFFIX = "_sound"
"""End of the species folders' names in the default data set."""


def _download_folder(kaggle: KaggleSettings) -> Path:
    """Return the folder into which kagglehub downloads the data set on this machine."""
    cache = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
    return Path(cache) / "datasets" / kaggle.dataset / "versions" / str(kaggle.version)


def kaggle_archive(corpus: OneSourceSettings) -> Path | None:
    """Return the zip file at `corpus.root`; None if that is not a zip file."""
    root = Path(corpus.root or "").expanduser()
    return root if root.suffix.lower() == ".zip" else None


def kaggle_folder(corpus: OneSourceSettings) -> Path:
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
    for folder, folders, files in os.walk(root, onerror=_refuse_folder):
        folders[:] = sorted(f for f in folders if not is_system_name(f))
        if any(f.endswith(_SPECIES_SUFFIX) for f in folders):
            return Path(folder)
        if any(has_audio_extension(f) and not is_system_name(f) for f in files) and Path(folder) != root:
            return Path(folder).parent
    raise AutobirdError(f"{root} holds no audio; give the data set's folder or zip as corpus.root")


def _refuse_folder(error: OSError) -> None:
    raise AutobirdError(f"{error.filename} cannot be read ({error.strerror}); correct its permissions") from error


def kaggle_source(corpus: OneSourceSettings, cache: Path) -> Source:
    """Return the source of the data set. `_sound` is the default of `corpus.species_suffix` here."""
    suffix = corpus.species_suffix or _SPECIES_SUFFIX
    archive = kaggle_archive(corpus)
    if archive is not None:
        return ZipSource(archive, suffix)
    return FolderSource(kaggle_folder(corpus), cache, corpus.metadata, suffix=suffix)
