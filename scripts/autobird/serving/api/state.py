"""Whether the server lives and can answer: `GET /healthz`, `/readyz` and `/metrics`."""

from flask import Blueprint, Response, jsonify

from autobird.serving.metrics import CONTENT_TYPE, Metrics
from autobird.serving.services import Services


def blueprint(services: Services, metrics: Metrics) -> Blueprint:
    """Return the routes.

    Args:
        services: see `create_app`.
        metrics: of the app.
    """
    routes = Blueprint("state", __name__)
    pool = services.pool

    @routes.get("/healthz")
    def health() -> Response:
        return jsonify({"status": "ok", "model": pool.bundle().fingerprint})

    @routes.get("/readyz")
    def ready() -> Response:
        state = pool.state()
        folder = pool.bundle().folder
        response = jsonify(
            {
                "status": "ready" if state.ready else "not ready",
                "model": state.fingerprint,
                "processes": state.processes,
                "wanted_processes": state.wanted,
                "waiting_requests": state.queued,
                "running": state.running,
                "shadow": state.shadow,
                # The path of the bundle is the operator's business.
                "swap_error": state.swap_error.replace(str(folder), folder.name),
            }
        )
        if not state.ready:
            response.status_code = 503
            response.headers["Retry-After"] = "5"
        return response

    @routes.get("/metrics")
    def prometheus() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    return routes
