"""What xeno-canto holds: its API, version 3, page by page (https://xeno-canto.org/explore/api)."""

import os
from collections.abc import Iterator
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.stage import log
from autobird.sources.fetch.http import Client
from autobird.sources.lock import Entry
from autobird.sources.settings import FetchSettings, XenoCantoSettings
from autobird.sources.xeno_canto import queries

KEY = "XENO_CANTO_KEY"


def key_from_environment() -> str:
    """The personal key.

    Raises:
        AutobirdError: it is not set.
    """
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise AutobirdError(
            f"{KEY} is not set; xeno-canto shows your key at https://xeno-canto.org/account, put it into the environment"
        )
    return key


def listing(settings: XenoCantoSettings, fetch: FetchSettings) -> list[Entry]:
    """Every recording that the queries find, once, with all fields of the API."""
    key = key_from_environment()
    client = Client(fetch.interval, fetch.patience, (key,))
    found: dict[str, Entry] = {}
    for query in queries(settings):
        before = len(found)
        for entry in pages(client, settings, query, key):
            found.setdefault(str(entry["id"]), entry)
        log.info("%s: %d recordings", query, len(found) - before)
        if len(found) == before:
            log.warning("%s: nothing found; look at the spelling of the query", query)
    return list(found.values())


def pages(client: Client, settings: XenoCantoSettings, query: str, key: str) -> Iterator[Entry]:
    """The recordings of one query.

    Raises:
        AutobirdError: an answer that is not the API's, or fewer recordings than it announces.
    """
    page, pages_, announced, seen = 1, 1, 0, 0
    while page <= pages_:
        answer = client.get_json(
            settings.api, {"query": query, "page": page, "per_page": settings.per_page, "key": key}
        )
        try:
            pages_, announced = int(answer["numPages"]), int(answer["numRecordings"])
            recordings: list[dict[str, Any]] = answer["recordings"]
            for entry in recordings:
                int(entry["id"]), entry["gen"], entry["sp"]
        except (KeyError, TypeError, ValueError) as error:
            raise AutobirdError(
                f"xeno-canto's answer to {query!r}, page {page}, is not that of its API, version 3 ({error!r})"
            ) from error
        seen += len(recordings)
        yield from recordings
        page += 1
    if seen < announced:
        log.warning("%s: %d recordings of %d announced", query, seen, announced)
