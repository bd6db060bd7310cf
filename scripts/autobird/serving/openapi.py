"""The OpenAPI 3.1 document of the server."""

from importlib.metadata import version
from typing import Any

from autobird.audio.formats import readable_extensions
from autobird.serving.form import FIELD
from autobird.serving.settings import ServeSettings


def _schema(kind: str, **keywords: Any) -> dict[str, Any]:
    return {"type": kind, **keywords}


_SPECIES = _schema(
    "object", properties={"species": _schema("string"), "probability": _schema("number", minimum=0, maximum=1)}
)
_SPAN = {"start": _schema("number", description="seconds"), "end": _schema("number", description="seconds")}

_UNKNOWN = {
    "type": ["number", "null"],
    "minimum": 0,
    "maximum": 1,
    "description": "how little the sound resembles the species of the model: the share of validation windows with one of them that "
    "resemble them more; of the recording, the lowest of its windows; null if the model has no such score or all windows are quiet",
}

_PREDICTION = _schema(
    "object",
    required=["model", "duration", "note", "species", "unknown_score", "detections", "windows"],
    properties={
        "model": _schema("object", properties={"name": _schema("string"), "fingerprint": _schema("string")}),
        "duration": _schema("number", description="seconds"),
        "note": _schema("string", description="problems with a recording that was classified nevertheless, or empty"),
        "species": _schema(
            "array",
            items=_SPECIES,
            description="most probable species of the recording; empty if the whole recording is quiet",
        ),
        "unknown_score": _UNKNOWN,
        "detections": _schema(
            "array",
            items=_schema(
                "object", properties=_SPAN | {"species": _schema("string"), "probability": _schema("number")}
            ),
        ),
        "windows": _schema(
            "array",
            items=_schema(
                "object",
                properties=_SPAN
                | {
                    "quiet": _schema("boolean"),
                    "species": _schema("array", items=_SPECIES),
                    "unknown_score": _UNKNOWN,
                },
            ),
        ),
        "spectrogram": _schema("object", description="mel spectrogram as base64 bytes, if requested"),
    },
)
_PROBLEM = _schema(
    "object",
    properties={
        "type": _schema("string"),
        "title": _schema("string"),
        "status": _schema("integer"),
        "detail": _schema("string"),
    },
)


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"schema": _PROBLEM}}}


def openapi_document(settings: ServeSettings) -> dict[str, Any]:
    """Return the OpenAPI document, with the limits of this server."""
    binary = {"schema": _schema("string", format="binary")}
    form = {"schema": _schema("object", required=["file"], properties={"file": _schema("string", format="binary")})}
    limits = f"at most {settings.max_megabytes:g} MB and {settings.max_seconds:g} s"
    formats = ", ".join(readable_extensions())
    predict = {
        "summary": f"Detect bird species in a recording ({limits})",
        "parameters": [
            {
                "name": "spectrogram",
                "in": "query",
                "schema": _schema("boolean"),
                "description": "include the spectrogram",
            }
        ],
        "requestBody": {
            "required": True,
            "description": f"a recording ({formats}); its format is recognised by its content. In a form, it is the field `{FIELD}`, or "
            "the only field that holds a file or data that are not text.",
            "content": {"application/octet-stream": binary, "audio/*": binary, "multipart/form-data": form},
        },
        "responses": {
            "200": _json(_PREDICTION, "probabilities and detections"),
            "400": _error(
                "no recording was sent, or it is not clear which field holds it, or the upload is damaged or incomplete"
            ),
            "413": _error("the upload is too large, the recording too long, or the form has too many fields"),
            "415": _error("the body has a Content-Encoding"),
            "422": _error("not a usable recording"),
        },
    }
    thresholds = _schema(
        "array", items=_schema("object", properties={"species": _schema("string"), "threshold": _schema("number")})
    )
    text = {"description": "Prometheus's text format", "content": {"text/plain": {"schema": _schema("string")}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Autobird", "version": version("autobird"), "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": {
            "/v1/predict": {"post": predict},
            "/v1/model": {
                "get": {"summary": "Model", "responses": {"200": _json(_schema("object"), "model and limits")}}
            },
            "/v1/species": {
                "get": {"summary": "Species", "responses": {"200": _json(thresholds, "species and thresholds")}}
            },
            "/healthz": {"get": {"summary": "Health check", "responses": {"200": _json(_schema("object"), "ready")}}},
            "/metrics": {"get": {"summary": "Metrics", "responses": {"200": text}}},
        },
    }
