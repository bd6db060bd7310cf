"""The OpenAPI document: it is valid, complete, and says what the server answers."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.api import client_of, make_complete_bundle, sound

jsonschema = pytest.importorskip("jsonschema")
schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    folder = tmp_path_factory.mktemp("bundle")
    return client_of(make_complete_bundle(folder), max_seconds=20, max_megabytes=1, max_files=3)


@pytest.fixture(scope="module")
def document(client: FlaskClient) -> dict[str, Any]:
    value: dict[str, Any] = client.get("/openapi.json").get_json()
    return value


def strict(schema: Any) -> Any:
    """Return a schema that allows no properties but those that it describes, so that undocumented ones are found."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {**closed, **{name: strict(value) for name, value in schema.items()}}


def check(document: dict[str, Any], response: Any, path: str, method: str) -> None:
    """Check a response against the document."""
    responses = document["paths"][path][method]["responses"]
    described = responses.get(str(response.status_code), responses["default"])
    assert response.mimetype in described["content"], (path, response.mimetype)
    if response.mimetype.endswith("json"):
        schema = {"$ref": "#/$defs/root", "$defs": {"root": strict(described["content"][response.mimetype]["schema"])}}
        schema["components"] = strict(document["components"])
        jsonschema.Draft202012Validator(schema).validate(response.get_json())


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

    OPENAPI_31_VALIDATOR.validate(document)

    def refs(value: Any) -> Iterator[str]:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key == "$ref":
                yield item
            elif isinstance(item, dict | list):
                yield from refs(item)

    assert {ref.rpartition("/")[2] for ref in refs(document)} <= set(document["components"]["schemas"])


def test_every_route_is_documented_and_nothing_else(client: FlaskClient, document: dict[str, Any]) -> None:
    documented = {(path, method) for path, methods in document["paths"].items() for method in methods}
    routes = {
        (str(rule).replace("<", "{").replace(">", "}").replace("{int:", "{").replace("{path:", "{"), method.lower())
        for rule in client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    pages = {("/", "get"), ("/docs", "get"), ("/favicon.ico", "get"), ("/static/{name}", "get")}
    described_elsewhere = {
        (path, method) for path, method in routes
        if path.startswith(("/v1/jobs", "/v1/predictions", "/v1/feedback", "/v1/drift", "/v1/review", "/review"))
    }  # fmt: skip
    assert routes - pages - described_elsewhere == documented - described_elsewhere


@pytest.mark.parametrize(
    ("path", "method", "query", "options", "status"),
    [
        ("/v1/predict", "post", "?spectrogram=1&top_k=0&threshold=0", {"data": sound(7)}, 200),
        ("/v1/predict", "post", "?precision=0.9&windows=0", {"data": sound(2, 8000)}, 200),
        ("/v1/predict", "post", "?format=csv", {"data": sound(2)}, 200),
        ("/v1/predict", "post", "?format=raven", {"data": sound(2)}, 200),
        ("/v1/predict", "post", "?format=audacity", {"data": sound(2)}, 200),
        ("/v1/predict", "post", "", {"data": sound(30)}, 413),
        ("/v1/predict", "post", "", {"data": b"text"}, 422),
        ("/v1/predict", "post", "", {"data": b""}, 400),
        ("/v1/predict", "post", "", {"data": b"x", "headers": {"Content-Encoding": "br"}}, 415),
        ("/v1/predict", "post", "?top_k=x", {"data": b"x"}, 400),
        ("/v1/predict", "post", "", {"data": b"x", "headers": {"Host": "evil.example"}}, 421),
        ("/v1/model", "get", "", {}, 200),
        ("/v1/model", "get", "", {"headers": {"Accept": "text/markdown"}}, 200),
        ("/v1/model/card", "get", "", {}, 200),
        ("/v1/model/attribution", "get", "", {}, 200),
        ("/v1/species", "get", "", {}, 200),
        ("/healthz", "get", "", {}, 200),
        ("/readyz", "get", "", {}, 200),
        ("/metrics", "get", "", {}, 200),
        ("/openapi.json", "get", "", {}, 200),
    ],
)
def test_answers_are_as_described_and_have_nothing_else(
    client: FlaskClient, document: dict[str, Any], path: str, method: str, query: str, options: Any, status: int
) -> None:
    response = client.open(path + query, method=method, **options)
    assert response.status_code == status
    check(document, response, path, method)


def test_answers_for_several_recordings_are_as_described(client: FlaskClient, document: dict[str, Any]) -> None:
    files = {"file": [(io.BytesIO(sound(2)), "a.flac"), (io.BytesIO(b"text"), "b.flac")]}
    check(document, client.post("/v1/predict", data=files), "/v1/predict", "post")


def test_the_parameters_are_those_that_are_read(document: dict[str, Any]) -> None:
    from autobird.serving.request_options import NAMES

    predict = document["paths"]["/v1/predict"]["post"]
    assert [p["name"] for p in predict["parameters"]] == [*NAMES, "name"]
    assert list(predict["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]) == ["file", *NAMES]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_generated_requests_never_fail_and_the_answers_conform(client: FlaskClient, mode: str) -> None:
    """Schemathesis makes valid or invalid requests from the document; no status 5xx, nothing undocumented."""
    import hypothesis
    from schemathesis.generation import GenerationMode

    schema = schemathesis.openapi.from_wsgi("/openapi.json", client.application)
    names = {
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
        "response_headers_conformance", "unsupported_method",
    }  # fmt: skip
    checks = [check for check in schemathesis.checks.CHECKS.get_all() if check.__name__ in names]
    assert len(checks) == len(names)
    count, song = 0, sound(1)
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(max_examples=200, deadline=None, derandomize=True, database=None,
                             suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
        @hypothesis.given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
        def run(case: Any) -> None:
            nonlocal count
            count += 1
            if case.method == "POST" and mode == "positive" and count % 2:  # random bytes are no recording
                case.body, case.media_type = song, "application/octet-stream"
            case.call_and_validate(checks=checks)

        try:
            run()
        except hypothesis.errors.Unsatisfiable:
            assert (operation.method, mode) == (
                "get",
                "negative",
            )  # an operation without parameters has no invalid request
    assert count >= 200
