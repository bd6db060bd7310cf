"""The description of the API: `GET /openapi.json`, and `GET /docs` for people."""

from flask import Blueprint, Response, jsonify, request

from autobird.serving.docs_page import docs_page
from autobird.serving.openapi import openapi_document
from autobird.serving.services import Services


def blueprint(services: Services) -> Blueprint:
    """Return the routes.

    Args:
        services: see `create_app`.
    """
    routes = Blueprint("documents", __name__)
    document = openapi_document(services.settings, services.review is not None)
    html = docs_page(document)

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(document)

    @routes.get("/docs")
    def docs() -> Response:
        response = Response(html, content_type="text/html; charset=utf-8")
        response.headers["Cache-Control"] = "no-cache"
        response.add_etag()
        response.make_conditional(request)
        return response

    return routes
