"""What the model is: `GET /v1/model`, its card and attribution, and `GET /v1/species`."""

import math
from typing import Any

from flask import Blueprint, Response, jsonify, request

from autobird.audio.formats import readable_extensions
from autobird.serving.bundle_info import BundleInfos
from autobird.serving.compute.requests import ServedBundle
from autobird.serving.services import Services
from autobird.serving.settings import ServeSettings

_MARKDOWN = "text/markdown; charset=utf-8"


def blueprint(services: Services, infos: BundleInfos) -> Blueprint:
    """Return the routes.

    Args:
        services: see `create_app`.
        infos: reads the files of the bundle.
    """
    routes = Blueprint("model", __name__)
    pool, settings = services.pool, services.settings

    @routes.get("/v1/model")
    def model() -> Response:
        bundle = pool.bundle()
        info = infos.of(bundle)
        if request.accept_mimetypes.best_match(["application/json", "text/markdown"]) == "text/markdown":
            return Response(info.card, content_type=_MARKDOWN)
        return jsonify(
            {
                **_model(bundle, settings),
                "card": info.card,
                "metrics": info.metrics,
                "licence": info.licence,
                "attribution": "/v1/model/attribution",
            }
        )

    @routes.get("/v1/model/card")
    def card() -> Response:
        return Response(infos.of(pool.bundle()).card, content_type=_MARKDOWN)

    @routes.get("/v1/model/attribution")
    def attribution() -> Response:
        return Response(infos.of(pool.bundle()).attribution, content_type="text/csv; charset=utf-8")

    @routes.get("/v1/species")
    def species() -> Response:
        bundle = pool.bundle()
        info = infos.of(bundle)
        return jsonify(
            [
                {
                    "species": label,
                    "threshold": threshold if math.isfinite(threshold) else None,
                    "scientific_name": info.scientific.get(label),
                    "common_name": info.common.get(label),
                    "precision_thresholds": {
                        precision: values[at] for precision, values in info.precision_thresholds.items()
                    },
                }
                for at, (label, threshold) in enumerate(zip(bundle.labels, bundle.thresholds, strict=True))
            ]
        )

    return routes


def _model(bundle: ServedBundle, settings: ServeSettings) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "variant": bundle.variant,
        "fingerprint": bundle.fingerprint,
        "species": len(bundle.labels),
        "outputs": bundle.outputs,
        "backbone": bundle.backbone,
        "features": bundle.features,
        "precisions": list(bundle.precisions),
        "formats": list(readable_extensions()),
        "limits": {
            "megabytes": settings.max_megabytes,
            "seconds": settings.max_seconds,
            "values": settings.max_values,
            "files": settings.max_files,
            "jobs": {"megabytes": settings.max_job_megabytes, "seconds": settings.max_job_seconds}
            if settings.state
            else None,
            "waiting_requests": settings.queue,
        },
    }
