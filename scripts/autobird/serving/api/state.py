"""Whether the server lives and can answer: `GET /healthz`, `/readyz` and `/metrics`."""

from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify

from autobird.serving.compute.requests import EmbeddingState
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
        response = jsonify(
            {
                "status": "ready" if state.ready else "not ready",
                "model": state.fingerprint,
                "processes": state.processes,
                "wanted_processes": state.wanted,
                "waiting_requests": state.queued,
                "running": state.running,
                "shadow": state.shadow,
                "embedding": _embedding(state.embedding),
                # The path of the bundle is the operator's business.
                "swap_error": _without_folders(state.swap_error, pool.bundle().folder, services.settings.shadow),
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


def _embedding(state: EmbeddingState | None) -> dict[str, Any] | None:
    if state is None:
        return None
    return {
        "backbone": state.backbone,
        "ready": state.ready,
        "threads": state.threads,
        "windows": state.windows,
        "waiting_windows": state.waiting_windows,
        "milliseconds_per_window": round(1000 * state.window_seconds, 1),
        "replaced": state.replaced,
    }


def _without_folders(text: str, *folders: Path | str | None) -> str:
    """Return a message with the names of folders instead of their paths, also of those that links lead to."""
    for folder in (Path(folder) for folder in folders if folder):
        for path in (folder.absolute(), folder.resolve(), folder):
            text = text.replace(str(path), folder.name)
    return text
