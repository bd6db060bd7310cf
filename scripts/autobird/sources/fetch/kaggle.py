"""A data set of Kaggle's, brought by kagglehub where it is installed."""

import importlib
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.stage import log
from autobird.sources.settings import KaggleSettings


def bring(kaggle: KaggleSettings) -> Path:
    """Download the pinned version into kagglehub's cache, which the source then reads.

    Raises:
        AutobirdError: kagglehub is not installed, or fails.
    """
    handle = f"{kaggle.dataset}/versions/{kaggle.version}"
    try:
        hub = importlib.import_module("kagglehub")
    except ImportError as error:
        raise AutobirdError(
            "kagglehub is not installed; pip install kagglehub, or download the data set's zip and set corpus.root to it"
        ) from error
    try:
        folder = Path(hub.dataset_download(handle))
    except Exception as error:
        raise AutobirdError(f"kagglehub could not bring {handle}: {error}") from error
    log.info("%s lies in %s", handle, folder)
    return folder
