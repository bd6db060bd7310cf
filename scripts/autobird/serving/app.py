"""The Flask app: checks of each request, the routes of `serving/api`, and errors as problem details."""

import time
from pathlib import Path

from flask import Flask, Response, g, request

from autobird.serving.admission import id_of_request
from autobird.serving.api import documents, drift, feedback, jobs, model, page, predictions, review, state
from autobird.serving.api.predict import Predict, PredictDirectly, blueprint
from autobird.serving.bundle_info import BundleInfos
from autobird.serving.gate import Gate, error_response
from autobird.serving.metrics import Metrics
from autobird.serving.services import Services


def create_app(services: Services, static: Path = page.STATIC) -> Flask:
    """Create the app.

    Args:
        services: the pool, the settings, and the log and the jobs if the server has them.
        static: folder of the web page.

    Raises:
        AutobirdError: the file of API keys cannot be used.
    """
    app = Flask("autobird", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    metrics, infos = Metrics(services), BundleInfos()
    gate = Gate(services.settings, lambda status: metrics.errors.labels(str(status)).inc())
    app.extensions["metrics"] = metrics  # the front counts its own errors there
    app.extensions["admission"] = gate.admission  # the front asks it before it reads a body

    @app.before_request
    def check() -> Response | None:
        g.started = time.perf_counter()
        g.request_id = id_of_request(request.headers)
        return gate.check(request.method, request.path, request.headers)

    @app.after_request
    def finish(response: Response) -> Response:
        return gate.complete(response, g.get("request_id", ""), request.method, request.headers)

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        return error_response(error, g.get("request_id", ""), request.environ)

    predict = Predict(services, infos, metrics)
    app.extensions["upload_folder"] = predict.folder  # the front keeps large bodies there while they arrive
    app.register_blueprint(blueprint(predict))
    app.register_blueprint(model.blueprint(services, infos))
    app.register_blueprint(state.blueprint(services, metrics))
    app.register_blueprint(documents.blueprint(services))
    app.register_blueprint(page.blueprint(static))
    for module in (jobs, predictions, feedback, drift, review):
        app.register_blueprint(module.blueprint(services))
    app.wsgi_app = PredictDirectly(app.wsgi_app, predict, gate)  # type: ignore[method-assign]
    return app
