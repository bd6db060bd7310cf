"""The server's own description, OpenAPI 3.1."""

from importlib.metadata import version
from typing import Any

from autobird.serving.settings import ServeSettings


def _of(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


_NAMED = _of("object", properties={"species": _of("string"), "probability": _of("number", minimum=0, maximum=1)})
_SPAN = {"start": _of("number", description="seconds"), "end": _of("number", description="seconds")}

_PREDICTION = _of(
    "object",
    required=["model", "duration", "species", "detections", "windows"],
    properties={
        "model": _of("object", properties={"name": _of("string"), "fingerprint": _of("string")}),
        "duration": _of("number", description="seconds"),
        "species": _of(
            "array", items=_NAMED, description="most probable species of the recording; empty if all of it is quiet"
        ),
        "detections": _of(
            "array", items=_of("object", properties=_SPAN | {"species": _of("string"), "probability": _of("number")})
        ),
        "windows": _of(
            "array",
            items=_of("object", properties=_SPAN | {"quiet": _of("boolean"), "species": _of("array", items=_NAMED)}),
        ),
        "spectrogram": _of("object", description="log-mel as base64 bytes, where asked for"),
    },
)
_PROBLEM = _of(
    "object",
    properties={"type": _of("string"), "title": _of("string"), "status": _of("integer"), "detail": _of("string")},
)


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refused(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"schema": _PROBLEM}}}


def document(settings: ServeSettings) -> dict[str, Any]:
    """The whole description, with this server's limits."""
    binary = {"schema": _of("string", format="binary")}
    form = {"schema": _of("object", required=["file"], properties={"file": _of("string", format="binary")})}
    limits = f"at most {settings.max_megabytes:g} MB and {settings.max_seconds:g} s"
    predict = {
        "summary": f"What sings in a recording, and when ({limits})",
        "parameters": [
            {"name": "spectrogram", "in": "query", "schema": _of("boolean"), "description": "send the spectrogram too"}
        ],
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": binary, "audio/*": binary, "multipart/form-data": form},
        },
        "responses": {
            "200": _json(_PREDICTION, "the answer"),
            "400": _refused("no recording was sent"),
            "413": _refused("too large or too long"),
            "422": _refused("not a usable recording"),
        },
    }
    thresholds = _of("array", items=_of("object", properties={"species": _of("string"), "threshold": _of("number")}))
    text = {"description": "Prometheus's text format", "content": {"text/plain": {"schema": _of("string")}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Autobird", "version": version("autobird"), "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": {
            "/v1/predict": {"post": predict},
            "/v1/model": {"get": {"summary": "The model", "responses": {"200": _json(_of("object"), "the bundle")}}},
            "/v1/species": {
                "get": {"summary": "Its species", "responses": {"200": _json(thresholds, "with thresholds")}}
            },
            "/healthz": {"get": {"summary": "Alive", "responses": {"200": _json(_of("object"), "ready to answer")}}},
            "/metrics": {"get": {"summary": "Metrics", "responses": {"200": text}}},
        },
    }
