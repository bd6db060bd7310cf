"""The app of the server for other WSGI and ASGI servers: each of their processes classifies itself."""

import os
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from autobird.serving.app import create_app
from autobird.serving.compute.inline_pool import InlinePool
from autobird.serving.services import Services
from autobird.serving.settings import ServeSettings


def make() -> Any:
    """Return the app for the bundle in the environment variable AUTOBIRD_BENCHMARK_BUNDLE."""
    threadpool_limits(1)
    pool = InlinePool(Path(os.environ["AUTOBIRD_BENCHMARK_BUNDLE"]))
    return create_app(Services(pool, ServeSettings()))


app = make()
