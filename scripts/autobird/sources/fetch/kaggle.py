"""Download of a Kaggle data set with kagglehub, which is an optional dependency."""

import importlib

from autobird.core.errors import AutobirdError
from autobird.core.stage import log
from autobird.sources.remote.settings import KaggleSettings


def fetch(kaggle: KaggleSettings) -> None:
    """Download the configured version into the cache of kagglehub, where the source reads it.

    Raises:
        AutobirdError: kagglehub is not installed, or the download fails.
    """
    handle = f"{kaggle.dataset}/versions/{kaggle.version}"
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError as error:
        raise AutobirdError(
            "kagglehub is not installed; pip install kagglehub, or download the data set's zip and set corpus.root to it"
        ) from error
    try:
        folder = kagglehub.dataset_download(handle)
    except Exception as error:
        raise AutobirdError(f"kagglehub could not download {handle} ({error}); run again later") from error
    log.info("%s is in %s", handle, folder)
