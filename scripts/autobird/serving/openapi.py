"""The OpenAPI 3.1 document of the server."""

import importlib
import importlib.util
from typing import Any

from autobird.audio.formats import readable_extensions
from autobird.serving.form import FIELD
from autobird.serving.openapi_schemas import SCHEMAS, array, ref, schema
from autobird.serving.problems import CONTENT_TYPE
from autobird.serving.settings import ServeSettings
from autobird.serving.tables import FORMATS

API_VERSION = "1"
"""Version of the interface; that of the program is not told to clients."""

Operation = dict[str, Any]

_REQUEST_ID = {"X-Request-Id": {"schema": schema("string"), "description": "id of the request"}}

_OPTIONS: dict[str, dict[str, Any]] = {
    "top_k": schema(
        ["integer", "string"],
        "number of most probable species of the recording and of each window (default 5); 0 or `all`: all, and `probabilities`",
        pattern="^([0-9]{1,6}|all)$",
        minimum=0,
        maximum=999_999,
    ),
    "threshold": schema("number", "threshold of all species", minimum=0, maximum=1),
    "precision": schema(
        "number", "wanted precision: thresholds that reached it on validation recordings", minimum=0, maximum=1
    ),
    "species": schema(
        "string", "species that are detected, by label, scientific or common name; separated by commas, or repeated"
    ),
    "overlap": schema("number", "overlap of consecutive windows, seconds", minimum=0, maximum=60),
    "windows": schema("boolean", "whether the answer has the windows (default true)"),
    "spectrogram": schema("boolean", "whether the answer has the spectrogram (default false)"),
    "format": schema("string", "format of the answer (default: by the header Accept)", enum=list(FORMATS)),
}


def answers(content: dict[str, Any], description: str) -> dict[str, Any]:
    """Return a response with its content by content type."""
    return {"description": description, "headers": _REQUEST_ID, "content": content}


def json_answer(of: dict[str, Any], description: str) -> dict[str, Any]:
    """Return a response of a JSON schema."""
    return answers({"application/json": {"schema": of}}, description)


def text_answer(kind: str, description: str) -> dict[str, Any]:
    """Return a response that is text."""
    return answers({kind: {"schema": schema("string")}}, description)


def problem_answer(description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a response that is an error."""
    content = {CONTENT_TYPE: {"schema": ref("Problem")}}
    return {"description": description, "headers": _REQUEST_ID | (headers or {}), "content": content}


def operation(summary: str, responses: dict[str, Any], **keywords: Any) -> Operation:
    """Return an operation, which can also end with any problem."""
    return {"summary": summary, **keywords, "responses": {**responses, "default": problem_answer("another problem")}}


def openapi_document(settings: ServeSettings, has_review: bool = False) -> dict[str, Any]:
    """Return the OpenAPI document, with the limits of this server, and the routes of the review if it has one.

    Modules of `serving/api` that have a function `openapi_paths()` describe their routes there, and may describe schemas in a function
    `openapi_schemas()`.
    """
    paths: dict[str, dict[str, Operation]] = {"/v1/predict": {"post": _predict(settings)}, **_PATHS}
    schemas = dict(SCHEMAS)
    for name in ("jobs", "predictions", "feedback", "drift", "review"):
        if name == "review" and not has_review:
            continue
        if importlib.util.find_spec(f"autobird.serving.api.{name}"):
            module = importlib.import_module(f"autobird.serving.api.{name}")
            paths |= getattr(module, "openapi_paths", dict)()
            schemas |= getattr(module, "openapi_schemas", dict)()
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Autobird",
            "version": API_VERSION,
            "description": "Detects species of birds in recordings. Every error is a problem as in RFC 9457, whose `type` leads to its "
            "explanation in /docs.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if settings.keys:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
    return document


def _predict(settings: ServeSettings) -> Operation:
    binary = schema("string", format="binary")
    retry = {"Retry-After": {"schema": schema("integer", minimum=1), "description": "seconds"}}
    tables = {FORMATS[name]: {"schema": schema("string")} for name in FORMATS if name != "json"}
    name = {
        "name": "name",
        "in": "query",
        "schema": schema("string", maxLength=255),
        "description": "name of the file, if the recording is the body; it can give site and time",
    }
    return operation(
        "Detect bird species in recordings",
        {
            "200": answers(
                {"application/json": {"schema": {"anyOf": [ref("Answer"), ref("Answers")]}}, **tables},
                "probabilities and detections; a list (`Answers`) for several recordings, and if their field is named `files`",
            ),
            "400": problem_answer("no recording, a damaged or incomplete upload, or an option that is not possible"),
            "409": problem_answer("the format holds one recording, and several were sent"),
            "413": problem_answer(
                "the upload is too large, the recording too long, or there are too many files or fields"
            ),
            "415": problem_answer("the body has a Content-Encoding"),
            "422": problem_answer("not a usable recording"),
            "503": problem_answer("the server is busy; try again later", retry),
        },
        description=f"At most {settings.max_megabytes:g} MB in all, {settings.max_files} recordings, and of each "
        f"{settings.max_seconds:g} s and {settings.max_values} decoded samples of all channels. Options are parameters of the query or "
        "fields of the form; unknown parameters of the query are refused.",
        parameters=[
            *({"name": key, "in": "query", **_parameter(value)} for key, value in _OPTIONS.items()),
            name,
        ],
        requestBody={
            "required": True,
            "description": f"a recording ({', '.join(readable_extensions())}); its format is recognised by its content. In a form, it is "
            f"the field `{FIELD}` (repeated for several), or the only field that holds a file or data that are not text.",
            "content": {
                "application/octet-stream": {"schema": binary},
                "audio/*": {"schema": binary},
                "multipart/form-data": {
                    "schema": schema("object", required=[FIELD], properties={FIELD: array(binary), **_OPTIONS})
                },
            },
        },
    )


def _parameter(value: dict[str, Any]) -> dict[str, Any]:
    plain = {key: item for key, item in value.items() if key != "description"}
    return {"schema": plain, "description": value["description"]}


_PATHS: dict[str, dict[str, Operation]] = {
    "/v1/model": {
        "get": operation(
            "Model: card, scores with intervals, licences, limits",
            {
                "200": answers(
                    {"application/json": {"schema": ref("Model")}, "text/markdown": {"schema": schema("string")}},
                    "the model; with Accept: text/markdown, its card",
                )
            },
        )
    },
    "/v1/model/card": {"get": operation("Model card", {"200": text_answer("text/markdown", "Markdown")})},
    "/v1/model/attribution": {
        "get": operation("Authors of the training recordings", {"200": text_answer("text/csv", "a row per recording")})
    },
    "/v1/species": {
        "get": operation("Species of the model", {"200": json_answer(array(ref("Species")), "names and thresholds")})
    },
    "/healthz": {"get": operation("The server lives", {"200": json_answer(ref("Health"), "it lives")}, security=[])},
    "/readyz": {
        "get": operation(
            "The server can answer",
            {
                "200": json_answer(ref("Readiness"), "every process gave the stored answer for the example clip"),
                "503": json_answer(ref("Readiness"), "it cannot answer yet"),
            },
            security=[],
        )
    },
    "/metrics": {"get": operation("Metrics", {"200": text_answer("text/plain", "Prometheus's text format")})},
    "/openapi.json": {
        "get": operation("This document", {"200": json_answer(schema("object"), "OpenAPI 3.1")}, security=[])
    },
}
"""Routes with a fixed description."""
