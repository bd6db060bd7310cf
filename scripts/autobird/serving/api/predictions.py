"""`GET /v1/predictions`: the log of predictions, page by page."""

import logging
from typing import Any

from flask import Blueprint, request

from autobird.serving.api.query import one_of, page_parameters, the_store
from autobird.serving.problems import Problem
from autobird.serving.services import Services
from autobird.serving.store.backend import Unavailable
from autobird.serving.store.entries import ROLES

log = logging.getLogger("autobird")


def blueprint(services: Services) -> Blueprint:
    """Return the route; parameters `before` (an id), `limit`, `species` (the most probable one), `role`."""
    routes = Blueprint("predictions", __name__)

    @routes.get("/v1/predictions")
    def predictions() -> Any:
        store = the_store(services)
        before, limit = page_parameters()
        role = one_of("role", ROLES)
        species = request.args.get("species", "").replace("\0", "")  # which PostgreSQL refuses, and no name has
        try:
            found = store.page(before, limit, species or None, role)  # type: ignore[arg-type]
        except Unavailable as error:
            raise log_unavailable(error) from error
        return {"predictions": found, "next": found[-1]["id"] if len(found) == limit else None}

    return routes


def log_unavailable(error: Unavailable) -> Problem:
    """Return the problem of a log that cannot be used; the reason is written to the server's messages only: it may hold a path."""
    log.warning("the log cannot be used: %s", error)
    return Problem(503, "Log unavailable", "the log cannot be used now; try again later", {"Retry-After": "5"})


def openapi_paths() -> dict[str, Any]:
    """Return the descriptions of the routes for the OpenAPI document."""
    from autobird.serving import openapi_log

    return openapi_log.PREDICTIONS


def openapi_schemas() -> dict[str, Any]:
    """Return the schemas that these descriptions name."""
    from autobird.serving import openapi_log

    return {name: openapi_log.SCHEMAS[name] for name in ("LogEntry",)}
