"""Descriptions of the routes of the log, the feedback, the drift test and the jobs in the OpenAPI document."""

from typing import Any

from autobird.drift.names import DRIFT_FEATURES
from autobird.serving.openapi import Operation, answers, json_answer, operation, problem_answer
from autobird.serving.openapi_schemas import (
    NUMBER_OR_NULL,
    PROBABILITY,
    SECONDS,
    TEXT,
    Schema,
    array,
    by_name,
    record,
    ref,
    schema,
)
from autobird.serving.request_options import NAMES
from autobird.serving.store.entries import DECISIONS, ROLES
from autobird.serving.store.store import MAX_PAGE
from autobird.serving.tables import FORMATS

_ID = schema("integer", minimum=1)
_ID_OR_NULL = schema(["integer", "null"], minimum=1)
_TIME = schema("string", "ISO 8601, UTC", format="date-time")
_TIME_OR_NULL = schema(["string", "null"], "ISO 8601, UTC", format="date-time")
_NEXT = schema(["integer", "null"], "`before` of the next page; null after the last one")

_ENTRY = record(
    {
        "id": _ID,
        "time": _TIME,
        "request": schema("string", "id of the request or of the job"),
        "role": schema("string", "`shadow`: an answer of the second bundle, which nobody got", enum=list(ROLES)),
        "bundle": schema("string", "fingerprint"),
        "duration": SECONDS,
        "species": schema(["string", "null"], "most probable species; null if the whole recording is quiet"),
        "probability": NUMBER_OR_NULL,
        "unknown_score": NUMBER_OR_NULL,
        "detections": array(
            record({"start": SECONDS, "end": SECONDS, "species": TEXT, "probability": PROBABILITY}),
            "the most probable ones, at most 200",
        ),
        "detection_count": schema(["integer", "null"], "of all detections; null for entries of older versions"),
        "seconds": by_name(schema("number"), "time of each stage"),
    }
)

_FEEDBACK = {
    "request": schema("string", "id of an answer or of a job", maxLength=200),
    "prediction": _ID_OR_NULL,
    "start": schema("number", "seconds", minimum=0, maximum=1_000_000),
    "end": schema("number", "seconds, not before `start`", minimum=0, maximum=1_000_000),
    "species": schema("string", "the species that the decision is about", minLength=1, maxLength=200),
    "decision": schema("string", "whether it is heard", enum=list(DECISIONS)),
    "other_species": schema("string", "the species that is heard instead", maxLength=200),
    "reviewer": schema("string", "name of the person", maxLength=200),
}

_JOB = record(
    {
        "id": TEXT,
        "file": TEXT,
        "state": schema("string", enum=["queued", "running", "done", "failed"]),
        "progress": schema(
            ["number", "null"], "share that is done; null if the length is unknown", minimum=0, maximum=1
        ),
        "decoded_seconds": SECONDS,
        "length": schema(["number", "null"], "seconds, as the header states"),
        "position": schema(["integer", "null"], "number of jobs before it; null if it does not wait"),
        "bytes": schema("integer", minimum=0),
        "created": _TIME,
        "started": _TIME_OR_NULL,
        "finished": _TIME_OR_NULL,
        "duration": schema(["number", "null"], "decoded seconds, once it is done"),
        "detections": schema(["integer", "null"], "number of detections, once it is done"),
        "problem": {"anyOf": [record({"status": schema("integer"), "title": TEXT, "detail": TEXT}), {"type": "null"}]},
    }
)

_DRIFT = record(
    {
        "state": schema("string", enum=["ok", "drift", "too few recordings", "no reference"]),
        "summary": schema("string", "one sentence"),
        "bundle": schema("string", "fingerprint"),
        "recordings": schema("integer", "number of recordings, the last ones of this bundle", minimum=0),
        "needed": schema("integer", "smallest number of recordings that are tested"),
        "alarm_rate": PROBABILITY,
        "features": array(
            record(
                {
                    "feature": schema("string", "name in the log", enum=list(DRIFT_FEATURES)),
                    "title": schema("string", "name for people"),
                    "unit": schema("string", "of the medians; empty if they have none"),
                    "drift": schema("boolean"),
                    "distance": schema("number", "Kolmogorov-Smirnov distance", minimum=0, maximum=1),
                    "p_value": schema(
                        "number",
                        "adjusted for the number of features; to be compared with alarm_rate",
                        minimum=0,
                        maximum=1,
                    ),
                    "median": schema("number", "of the recordings"),
                    "reference_median": schema("number", "of the recordings that the model was made with"),
                }
            )
        ),
    }
)

SCHEMAS: dict[str, Schema] = {
    "LogEntry": _ENTRY,
    "Feedback": record({"id": _ID, "time": _TIME, **_FEEDBACK}),
    "NewFeedback": record(
        _FEEDBACK, "`request` or `prediction` is required", ("request", "prediction", "other_species", "reviewer")
    ),
    "Job": _JOB,
    "Drift": _DRIFT,
}

_NO_LOG = {"404": problem_answer("the server keeps no log"), "503": problem_answer("the log cannot be used now")}
_NO_JOB = {"404": problem_answer("there is no such job, or the server takes no jobs")}


def _parameter(name: str, value: Schema, description: str, place: str = "query") -> dict[str, Any]:
    return {"name": name, "in": place, "schema": value, "description": description, "required": place == "path"}


_PAGE = [
    _parameter("before", schema("integer", minimum=1), "an id: only older entries (default: from the newest on)"),
    _parameter("limit", schema("integer", minimum=1, maximum=MAX_PAGE), "largest number of entries (default 50)"),
]
_NUMBER = [_parameter("job_id", schema("string", pattern="^[0-9a-f]{32}$"), "id of the job", "path")]

PREDICTIONS: dict[str, dict[str, Operation]] = {
    "/v1/predictions": {
        "get": operation(
            "Classified recordings, the newest first",
            {
                "200": json_answer(record({"predictions": array(ref("LogEntry")), "next": _NEXT}), "a page of the log"),
                "400": problem_answer("a parameter is not possible"),
                **_NO_LOG,
            },
            parameters=[
                *_PAGE,
                _parameter("species", TEXT, "only recordings with this most probable species"),
                _parameter("role", schema("string", enum=list(ROLES)), "only entries of this role"),
            ],
        )
    }
}

FEEDBACK: dict[str, dict[str, Operation]] = {
    "/v1/feedback": {
        "get": operation(
            "Feedback, the newest first",
            {
                "200": json_answer(
                    record({"feedback": array(ref("Feedback")), "next": _NEXT}), "a page of the feedback"
                ),
                "400": problem_answer("a parameter is not possible"),
                **_NO_LOG,
            },
            parameters=_PAGE,
        ),
        "post": operation(
            "Say whether a species is heard",
            {
                "201": json_answer(record({"id": _ID}), "it is stored"),
                "202": json_answer(
                    record({"id": schema("null")}), "it will be stored as soon as the log can be written"
                ),
                "400": problem_answer("a field is missing or not possible"),
                "413": problem_answer("the body is too large"),
                "415": problem_answer("the body is not application/json"),
                **_NO_LOG,
                "404": problem_answer(
                    "the log has no entry of this request or with this id, or the server keeps no log"
                ),
            },
            requestBody={"required": True, "content": {"application/json": {"schema": ref("NewFeedback")}}},
        ),
    }
}

DRIFT: dict[str, dict[str, Operation]] = {
    "/v1/drift": {
        "get": operation(
            "Do the last recordings differ from those that the model was made with?",
            {"200": json_answer(ref("Drift"), "result of the drift test, at most a minute old"), **_NO_LOG},
        )
    }
}

_POLL = {"Retry-After": {"schema": schema("integer", minimum=1), "description": "seconds after which to ask again"}}
_BINARY = schema("string", format="binary")

JOBS: dict[str, dict[str, Operation]] = {
    "/v1/jobs": {
        "get": operation(
            "Jobs, the newest first",
            {"200": json_answer(record({"jobs": array(ref("Job"))}), "all jobs"), **_NO_JOB},
        ),
        "post": operation(
            "Classify a long recording in the background",
            {
                "202": json_answer(ref("Job"), "the job; `Location` is its address"),
                "400": problem_answer(
                    "no recording, a damaged or incomplete upload, or an option that is not possible"
                ),
                "413": problem_answer("the upload is too large, or there are several recordings"),
                "415": problem_answer("the body has a Content-Encoding"),
                "503": problem_answer("there are too many jobs; try again later", _POLL),
                "507": problem_answer("the disk of the server is full", _POLL),
                **_NO_JOB,
            },
            description="Body and options as of /v1/predict, with larger limits and one recording; `windows` is false unless it is given, "
            "`spectrogram` is not possible, and the format is chosen with the result.",
            parameters=[
                _parameter(name, TEXT, "see /v1/predict")
                for name in (*NAMES, "name")
                if name not in ("format", "spectrogram")
            ],
            requestBody={
                "required": True,
                "content": {
                    "application/octet-stream": {"schema": _BINARY},
                    "audio/*": {"schema": _BINARY},
                    "multipart/form-data": {
                        "schema": schema("object", required=["file"], properties={"file": _BINARY})
                    },
                },
            },
        ),
    },
    "/v1/jobs/{job_id}": {
        "get": operation("State of a job", {"200": json_answer(ref("Job"), "the job"), **_NO_JOB}, parameters=_NUMBER),
        "delete": operation(
            "Cancel and remove a job", {"204": {"description": "it is removed"}, **_NO_JOB}, parameters=_NUMBER
        ),
    },
    "/v1/jobs/{job_id}/result": {
        "get": operation(
            "Result of a job",
            {
                "200": answers(
                    {
                        "application/json": {"schema": ref("Answer")},
                        **{FORMATS[name]: {"schema": TEXT} for name in FORMATS if name != "json"},
                    },
                    "probabilities and detections",
                ),
                "400": problem_answer("the format is not possible"),
                "409": problem_answer("the job is not finished", _POLL),
                "422": problem_answer("the job failed: not a usable recording"),
                **_NO_JOB,
            },
            parameters=[
                *_NUMBER,
                _parameter("format", schema("string", enum=list(FORMATS)), "default: by the header Accept"),
            ],
        )
    },
}
