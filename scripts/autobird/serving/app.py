"""The Flask app: checks of each request, the routes of `serving/api`, and errors as problem details."""

import logging
import re
import time
import uuid
from pathlib import Path

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from autobird.serving.admission import Admission
from autobird.serving.api import documents, drift, feedback, jobs, model, page, predict, predictions, review, state
from autobird.serving.bundle_info import BundleInfos
from autobird.serving.keys import Keys
from autobird.serving.metrics import Metrics
from autobird.serving.problems import CONTENT_TYPE, Problem, problem_bytes
from autobird.serving.security import HEADERS, Guard
from autobird.serving.services import Services

log = logging.getLogger("autobird")

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Ids of requests that are accepted from clients."""


def create_app(services: Services, static: Path = page.STATIC) -> Flask:
    """Create the app.

    Args:
        services: the pool, the settings, and the log and the jobs if the server has them.
        static: folder of the web page.

    Raises:
        AutobirdError: the file of API keys cannot be used.
    """
    settings = services.settings
    app = Flask("autobird", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    guard = Guard(settings.host, settings.allow_host, settings.allow_origin)
    admission = Admission(guard, Keys(Path(settings.keys)) if settings.keys else None)
    metrics, infos = Metrics(services), BundleInfos()
    app.extensions["metrics"] = metrics  # the front counts its own errors there
    app.extensions["admission"] = admission  # the front asks it before it reads a body

    @app.before_request
    def check() -> Response | None:
        g.started = time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _SANE_ID.fullmatch(given) else str(uuid.uuid4())
        key = admission.check(request.method, request.path, request.headers)
        if request.method == "OPTIONS" and guard.allows_origin(request.headers.get("Origin", "")):
            return Response(status=204)  # a preflight of an allowed page; `finish` adds the headers
        if key is not None:
            admission.count(key)
        return None

    @app.after_request
    def finish(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = g.get("request_id", "")
        response.headers.setdefault("Cache-Control", "no-store")
        is_preflight = request.method == "OPTIONS"
        for name, value in guard.cors_headers(request.headers.get("Origin"), is_preflight).items():
            response.headers[name] = value
        if response.status_code >= 400:
            metrics.errors.labels(str(response.status_code)).inc()
        return response

    @app.errorhandler(Problem)
    def known_problem(error: Problem) -> Response:
        return _response(error)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        remedy = {404: "; /docs lists the paths", 405: "; /docs lists the methods"}
        status = error.code or 500
        text = (error.description or error.name).rstrip(".")
        response = _response(Problem(status, error.name, f"{text}{remedy.get(status, '')}"))
        for name, value in error.get_headers(request.environ):  # for example Allow, which status 405 requires
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def internal_error(error: Exception) -> Response:
        log.exception("error while processing %s %a", request.method, request.path, exc_info=error)
        return _response(Problem(500, "Internal error", "the request could not be processed; see the server's log"))

    app.register_blueprint(predict.blueprint(services, infos, metrics))
    app.register_blueprint(model.blueprint(services, infos))
    app.register_blueprint(state.blueprint(services, metrics))
    app.register_blueprint(documents.blueprint(services))
    app.register_blueprint(page.blueprint(static))
    for module in (jobs, predictions, feedback, drift, review):
        app.register_blueprint(module.blueprint(services))
    return app


def _response(error: Problem) -> Response:
    body = problem_bytes(error.status, error.title, error.detail, g.get("request_id", ""))
    response = Response(body, status=error.status, content_type=CONTENT_TYPE)
    response.headers.update(error.headers)
    return response
