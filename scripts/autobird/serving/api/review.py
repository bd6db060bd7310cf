"""`/v1/review` and the page `/review`, if the server has a review; the modules that they need are loaded only then."""

from typing import Any

from flask import Blueprint

from autobird.serving.services import Services


def blueprint(services: Services) -> Blueprint:
    """Return the routes; a server without a review has none of them.

    Args:
        services: see `create_app`.
    """
    routes = Blueprint("review", __name__)
    if services.review is not None:
        from autobird.serving.review.routes import add_routes

        add_routes(routes, services.review)
    return routes


def openapi_paths() -> dict[str, Any]:
    """Return the description of the routes."""
    from autobird.serving.review.openapi import PATHS

    return PATHS


def openapi_schemas() -> dict[str, Any]:
    """Return the schemas that the description of the routes refers to."""
    from autobird.serving.review.openapi_schemas import SCHEMAS

    return SCHEMAS
