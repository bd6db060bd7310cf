"""The Flask app: web page, predictions, description of the model, health check, metrics."""

import json
import logging
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.audio.formats import readable_extensions
from autobird.predict.classifier import Classifier
from autobird.serving import metrics
from autobird.serving.log import LogEntry, PredictionLog
from autobird.serving.openapi import openapi_document
from autobird.serving.response import response_body
from autobird.serving.settings import ServeSettings
from autobird.serving.upload import UploadError, read_recording

log = logging.getLogger("autobird")

_PAGE = Path(__file__).with_name("page.html")


def create_app(bundle: Path, settings: ServeSettings) -> Flask:
    """Create the app for a bundle.

    Raises:
        AutobirdError: the bundle cannot be read.
    """
    classifier = Classifier(bundle, backbone=settings.backbone)
    prediction_log = PredictionLog(Path(settings.log)) if settings.log else None
    app = Flask("autobird", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    metrics.LOADED.labels(classifier.bundle.name, classifier.bundle.variant).set(1)

    page_html = page_text(readable_extensions())

    @app.get("/")
    def page() -> Response:
        return Response(page_html, mimetype="text/html")

    @app.post("/v1/predict")
    def predict() -> Any:
        start = time.perf_counter()
        with metrics.ACTIVE.track_inprogress():
            try:
                audio = read_recording(request, int(settings.max_megabytes * 1e6))
            except UploadError as error:
                return _problem(error.status, error.title, str(error))
            try:
                prediction = classifier.predict(audio, settings.max_seconds)
            except TooLong as error:
                return _problem(413, "Recording too long", f"{error}; cut the recording into parts")
            except UnusableAudio as error:
                return _problem(422, "Not a usable recording", str(error))
            body = response_body(classifier, prediction, request.args.get("spectrogram") in ("1", "true"))
            best = body["species"][0] if body["species"] else None
            if prediction_log:
                entry = LogEntry(
                    classifier.bundle.fingerprint,
                    prediction.duration,
                    best["species"] if best else None,
                    best["probability"] if best else None,
                    classifier.drift_features(prediction),
                )
                try:
                    prediction_log.append(entry)
                except sqlite3.Error as error:
                    metrics.LOG_ERRORS.inc()
                    log.warning("the log %s cannot be written: %s", settings.log, error)
            metrics.PREDICTIONS.labels(best["species"] if best else "").inc()
            metrics.AUDIO_SECONDS.inc(prediction.duration)
        metrics.DURATION.observe(time.perf_counter() - start)
        return body

    @app.get("/v1/model")
    def model() -> Any:
        b = classifier.bundle
        return {
            "name": b.name,
            "variant": b.variant,
            "fingerprint": b.fingerprint,
            "species": len(b.labels),
            "backbone": None if b.backbone is None else b.backbone.model_dump(mode="json"),
            "features": b.features.model_dump(mode="json"),
            "formats": list(readable_extensions()),
            "limits": {"megabytes": settings.max_megabytes, "seconds": settings.max_seconds},
        }

    @app.get("/v1/species")
    def species() -> Any:
        b = classifier.bundle
        return [{"species": name, "threshold": float(t)} for name, t in zip(b.labels, b.thresholds, strict=True)]

    @app.get("/healthz")
    def health() -> Any:
        return {"status": "ok", "model": classifier.bundle.fingerprint}

    @app.get("/metrics")
    def prometheus() -> Response:
        return Response(metrics.metrics_text(), content_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json")
    def openapi() -> Any:
        return openapi_document(settings)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        remedy = {404: "; /openapi.json lists the paths", 405: "; /openapi.json lists the methods"}
        status = error.code or 500
        response = _problem(
            status, error.name, f"{(error.description or error.name).rstrip('.')}{remedy.get(status, '')}"
        )
        for name, value in error.get_headers(request.environ):  # for example Allow, which status 405 requires
            if name.lower() != "content-type":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def internal_error(error: Exception) -> Response:
        log.exception("error while processing %s %s", request.method, request.path, exc_info=error)
        return _problem(500, "Internal error", "the request could not be processed; see the server's log")

    return app


def page_text(extensions: Sequence[str]) -> str:
    """Return the web page, with the file formats that it offers.

    Args:
        extensions: extensions of the files that can be decoded, without a dot.
    """
    text = _PAGE.read_text(encoding="utf-8")
    accept = ",".join(["audio/*", *(f".{name}" for name in extensions)])
    return text.replace("{{accept}}", accept).replace("{{formats}}", ", ".join(extensions))


def _problem(status: int, title: str, detail: str) -> Response:
    """Return an error response in the format of RFC 9457 (problem details), and count it."""
    metrics.ERRORS.labels(str(status)).inc()
    response = Response(status=status, content_type="application/problem+json")
    response.set_data(json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}))
    return response
