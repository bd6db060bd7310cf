"""A server with a small bundle, and a page."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.browsing import opened_page
from tests.unit.test_predict import make_bundle
from tests.unit.test_server import Server, start


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an untrained network, which accepts 1 MB."""
    folder = tmp_path_factory.mktemp("server")
    running = start(
        make_bundle(folder / "bundle", (0.3, 0.3)), folder / "log.sqlite", "--workers", "2", "--max-megabytes", "1"
    )
    yield running
    running.process.terminate()
    running.process.wait(30)


@pytest.fixture
def page(server: Server) -> Iterator[Any]:
    """The page on a large screen."""
    with opened_page(server.url) as page:
        yield page


@pytest.fixture
def phone(server: Server) -> Iterator[Any]:
    """The page on a phone."""
    with opened_page(server.url, 390, 844) as page:
        yield page
