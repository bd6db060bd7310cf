"""The recordings that match queries to xeno-canto, from its API version 3 (https://xeno-canto.org/explore/api)."""

import os
from collections.abc import Iterator
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.stage import log
from autobird.sources.fetch.http import AccessRefused, Client
from autobird.sources.lock import Entry
from autobird.sources.remote.settings import FetchSettings, XenoCantoSettings
from autobird.sources.xeno_canto import queries

KEY_VARIABLE = "XENO_CANTO_KEY"
"""Environment variable that holds the user's API key."""


def _api_key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise AutobirdError(
            f"{KEY_VARIABLE} is not set; set this environment variable to your API key, which https://xeno-canto.org/account shows"
        )
    return key


def list_recordings(settings: XenoCantoSettings, fetch: FetchSettings) -> list[Entry]:
    """Return every recording that a query finds, once, with all fields of the API.

    Raises:
        AutobirdError: the API key is not set or not valid, or the server does not respond.
    """
    key = _api_key()
    client = Client(fetch.interval, fetch.retry_seconds, (key,))
    found: dict[str, Entry] = {}
    for query in queries(settings):
        before = len(found)
        for entry in _query(client, settings, query, key):
            found.setdefault(str(entry["id"]), entry)
        log.info("%s: %d recordings", query, len(found) - before)
        if len(found) == before:
            log.warning("%s: no recordings found; check the spelling of the query", query)
    return list(found.values())


def _query(client: Client, settings: XenoCantoSettings, query: str, key: str) -> Iterator[Entry]:
    """Yield the recordings of one query, page by page.

    Raises:
        AutobirdError: a response does not have the form of API version 3, or the pages hold fewer recordings than announced.
    """
    page, page_count, announced = 1, 1, 0
    received: set[str] = set()
    while page <= page_count:
        try:
            response = client.get_json(
                settings.api, {"query": query, "page": page, "per_page": settings.per_page, "key": key}
            )
        except AccessRefused as error:
            raise AutobirdError(
                f"{error}; check the API key in {KEY_VARIABLE} (https://xeno-canto.org/account)"
            ) from error
        try:
            page_count, announced = int(response["numPages"]), int(response["numRecordings"])
            recordings: list[dict[str, Any]] = response["recordings"]
            for entry in recordings:
                int(entry["id"]), entry["gen"], entry["sp"]
                received.add(str(entry["id"]))
        except (KeyError, TypeError, ValueError) as error:
            raise AutobirdError(
                f"xeno-canto's response to {query!r}, page {page}, does not have the form of API version 3 ({error!r}); "
                "check corpus.xeno_canto.api"
            ) from error
        yield from recordings
        page += 1
    if len(received) < announced:
        raise AutobirdError(
            f"xeno-canto lists {len(received)} of the {announced} recordings that it announces for {query!r}; "
            "run `snakemake refresh_sources` again. The lock file is unchanged"
        )
