"""`GET /v1/drift`: do the recordings that the server classified last differ from those that the model was made with?"""

from typing import Any

from flask import Blueprint

from autobird.serving.api.predictions import log_unavailable
from autobird.serving.api.query import the_store
from autobird.serving.problems import Problem
from autobird.serving.recent_drift import DriftBusy, DriftFailed, RecentDrift
from autobird.serving.services import Services
from autobird.serving.store.backend import Unavailable


def blueprint(services: Services) -> Blueprint:
    """Return the route."""
    routes = Blueprint("drift", __name__)
    recent = RecentDrift()

    @routes.get("/v1/drift")
    def drift() -> Any:
        store = the_store(services)
        bundle = services.pool.bundle()
        try:
            return recent.result(store, bundle.folder, bundle.fingerprint)
        except Unavailable as error:
            raise log_unavailable(error) from error
        except DriftBusy as error:
            raise Problem(
                503, "Server busy", "the drift test is being computed; try again later", {"Retry-After": "5"}
            ) from error
        except DriftFailed as error:
            raise Problem(500, "Internal error", "the drift test failed; see the server's log") from error

    return routes


def openapi_paths() -> dict[str, Any]:
    """Return the descriptions of the routes for the OpenAPI document."""
    from autobird.serving import openapi_log

    return openapi_log.DRIFT


def openapi_schemas() -> dict[str, Any]:
    """Return the schemas that these descriptions name."""
    from autobird.serving import openapi_log

    return {name: openapi_log.SCHEMAS[name] for name in ("Drift",)}
