"""Descriptions of the routes of a review in the OpenAPI document."""

from typing import Any

from autobird.review.queues import QUEUES
from autobird.serving.openapi import Operation, answers, json_answer, operation, problem_answer, text_answer
from autobird.serving.openapi_schemas import NUMBER_OR_NULL, PROBABILITY, TEXT, Schema, array, by_name, record, ref, schema
from autobird.serving.review.desk import MAX_CONTEXT
from autobird.serving.review.options import MAX_COUNT, MAX_NAME

_SECONDS = schema("number", "seconds", minimum=0)
_COUNT = schema("integer", minimum=0)
_NAME = schema("string", "name of the reviewer", minLength=1, maxLength=MAX_NAME)
_ANSWER = schema(
    "string",
    "`yes`: the species is heard; `no`: it is not, and nothing is said about others; `other`: another species is heard instead; "
    "`unsure` and `skip`: no opinion",
    enum=["yes", "no", "other", "unsure", "skip"],
)
_STORED = schema(["string", "null"], "the reviewer's own decision", enum=["yes", "no", "other", "unsure", "skip", None])
_ESTIMATE = record({"value": NUMBER_OR_NULL, "low": NUMBER_OR_NULL, "high": NUMBER_OR_NULL}, "null: not known")

_ABOVE = {
    "threshold": NUMBER_OR_NULL,
    "detections": schema("integer", "windows whose probability reaches the threshold", minimum=0),
    "reviewed": _COUNT,
    "precision": _ESTIMATE,
    "recall": _ESTIMATE,
}

SCHEMAS: dict[str, Schema] = {
    "Review": record(
        {
            "model": record({"name": TEXT, "fingerprint": TEXT}),
            "recordings": _COUNT,
            "skipped": _COUNT,
            "seconds": _SECONDS,
            "candidates": _COUNT,
            "floor": PROBABILITY,
            "species": array(record({"species": TEXT, "common_name": schema(["string", "null"])})),
            "sites": array(TEXT),
            "has_times": schema("boolean", "whether the time of day of a recording is known"),
            "queues": array(schema("string", enum=list(QUEUES))),
            "default": record(
                {
                    "queue": schema("string", enum=list(QUEUES)),
                    "count": _COUNT,
                    "seed": _COUNT,
                    "species": array(TEXT),
                    "site": array(TEXT),
                    "hours": TEXT,
                    "min_probability": PROBABILITY,
                },
                "what the parameters of a queue are if they are not given",
            ),
        }
    ),
    "ReviewItem": record(
        {
            "id": TEXT,
            "number": schema("integer", "place in the queue, from 1", minimum=1),
            "file": schema("string", "path below the folder of the recordings"),
            "duration": _SECONDS,
            "start": _SECONDS,
            "end": _SECONDS,
            "species": TEXT,
            "probability": PROBABILITY,
            "threshold": NUMBER_OR_NULL,
            "stratum": schema("string", "how the item was chosen"),
            "unknown_score": NUMBER_OR_NULL,
            "similarity": NUMBER_OR_NULL,
            "site": TEXT,
            "recorded_at": schema("string", "local time of the start of the window, ISO 8601; empty if unknown"),
            "others": array(record({"species": TEXT, "probability": PROBABILITY}), "other possible species of the window"),
            "decision": _STORED,
            "other_species": TEXT,
        }
    ),
    "ReviewProgress": record(
        {
            "items": _COUNT,
            "decided": schema("integer", "by the reviewer", minimum=0),
            "decided_by_anyone": _COUNT,
            "by_decision": by_name(_COUNT),
            "by_stratum": array(record({"stratum": TEXT, "decided": _COUNT, "items": _COUNT})),
            "reviewers": array(record({"reviewer": TEXT, "decisions": _COUNT})),
            "disagree": schema("integer", "items about which reviewers disagree, in all queues", minimum=0),
        }
    ),
    "ReviewDecision": record(
        {
            "file": TEXT,
            "start": _SECONDS,
            "end": _SECONDS,
            "species": TEXT,
            "decision": _ANSWER,
            "other_species": TEXT,
            "reviewer": TEXT,
            "time": schema("string", "ISO 8601, UTC", format="date-time"),
            "model": TEXT,
            "stratum": TEXT,
            "probability": PROBABILITY,
            "sampling_probability": NUMBER_OR_NULL,
        },
        "a row of reviews.csv",
    ),
    "ReviewSummary": record(
        {
            "reviewed": schema("integer", "items with a clear answer that were drawn at random", minimum=0),
            "candidates": _COUNT,
            "sessions": _COUNT,
            "reviewers": _COUNT,
            "unknown": schema("integer", "items without a clear answer", minimum=0),
            "disagree": _COUNT,
            "not_random": schema("integer", "items of other queues; they do not count here", minimum=0),
            "floor": PROBABILITY,
            "confidence": PROBABILITY,
            "strata": array(
                record(
                    {
                        "low": PROBABILITY,
                        "high": PROBABILITY,
                        "candidates": _COUNT,
                        "reviewed": _COUNT,
                        "present": _COUNT,
                        "share": _ESTIMATE,
                    }
                )
            ),
            "species": array(record({"species": TEXT, "items": _COUNT, **_ABOVE}), "at the thresholds in use"),
            "thresholds": array(record(_ABOVE), "all species together, one threshold"),
            "wanted": record({"precision": PROBABILITY, "by_lower_bound": schema("boolean"), "within": PROBABILITY}),
            "chosen": array(
                record({"species": TEXT, "reached": schema("boolean"), **_ABOVE}), "thresholds for the wanted precision"
            ),
            "remaining": array(
                record(
                    {
                        "threshold": PROBABILITY,
                        "text": TEXT,
                        "is_enough": schema("boolean"),
                        "more": array(record({"low": PROBABILITY, "high": PROBABILITY, "items": _COUNT})),
                    }
                ),
                "how many more items bring the precision at a threshold to within the wanted distance",
            ),
        }
    ),
}


def _parameter(name: str, value: Schema, description: str, place: str = "query") -> dict[str, Any]:
    required = {"required": True} if place == "path" or name == "reviewer" else {}
    return {"name": name, "in": place, "schema": value, "description": description, **required}


_QUEUE = [
    _parameter("queue", schema("string", enum=list(QUEUES)), "kind of the queue"),
    _parameter("count", schema("integer", minimum=1, maximum=MAX_COUNT), "largest number of items of the queue"),
    _parameter("seed", schema("integer", minimum=0), "another seed draws another sample"),
    _parameter("species", TEXT, "only this species; repeatable; empty: all"),
    _parameter("site", TEXT, "only this site; repeatable; empty: all"),
    _parameter("hours", TEXT, "only windows of these hours of the day, for example 4-8, or 22-4 for a night; empty: all"),
    _parameter("min_probability", PROBABILITY, "lowest probability of an item"),
]
"""Parameters of a queue. They belong to each request about an item, too, because an item is one of a queue."""

_REVIEWER = _parameter("reviewer", _NAME, "name of the reviewer")
_ITEM = _parameter("identifier", TEXT, "id of the item", "path")
_WRONG = problem_answer("a value is not possible")
_NO_QUEUE = problem_answer("the queue needs what this review does not have")
_NO_ITEM = problem_answer("the queue has no such item")
_NOT_STORED = problem_answer("the table cannot be written")


def _json_body(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": record(properties, optional=optional)}}}


def _listing() -> Operation:
    answer = record({"items": array(ref("ReviewItem")), "progress": ref("ReviewProgress")})
    return operation(
        "The next items of a queue that the reviewer has not decided about",
        {"200": json_answer(answer, "items"), "400": _WRONG, "409": _NO_QUEUE},
        parameters=[
            *_QUEUE,
            _REVIEWER,
            _parameter("limit", schema("integer", minimum=1, maximum=100), "largest number of items (default 5)"),
            _parameter("leave_out_others", schema("boolean"), "whether items that others have decided about are left out"),
        ],
    )


def _summary() -> Operation:
    return operation(
        "What the decisions say: precision by score and species, thresholds for a wanted precision, and what remains to be done",
        {"200": json_answer(ref("ReviewSummary"), "estimates with intervals"), "400": _WRONG, "409": _NO_QUEUE},
        parameters=[
            *_QUEUE,
            _parameter("precision", PROBABILITY, "wanted precision (default 0.9)"),
            _parameter("by_lower_bound", schema("boolean"), "whether the lower end of the interval must reach it"),
            _parameter("within", schema("number", minimum=0.005, maximum=0.5), "wanted half width of the interval (default 0.05)"),
        ],
    )


PATHS: dict[str, dict[str, Operation]] = {
    "/v1/review": {"get": operation("The review", {"200": json_answer(ref("Review"), "model, recordings, queues")})},
    "/v1/review/queue": {"get": _listing()},
    "/v1/review/items/{identifier}": {
        "get": operation(
            "An item of a queue",
            {"200": json_answer(ref("ReviewItem"), "the item"), "400": _WRONG, "404": _NO_ITEM, "409": _NO_QUEUE},
            parameters=[_ITEM, *_QUEUE, _REVIEWER],
        )
    },
    "/v1/review/items/{identifier}/audio": {
        "get": operation(
            "The sound of an item",
            {
                "200": answers({"audio/wav": {"schema": schema("string", format="binary")}}, "mono, 16 bits"),
                "400": _WRONG,
                "404": _NO_ITEM,
                "409": problem_answer("the recording was changed, or the queue is not possible"),
                "422": problem_answer("the recording cannot be decoded"),
            },
            parameters=[
                _ITEM,
                *_QUEUE,
                _parameter(
                    "context", schema("number", minimum=0, maximum=MAX_CONTEXT), "seconds before and after the window (default 2)"
                ),
            ],
        )
    },
    "/v1/review/items/{identifier}/decision": {
        "post": operation(
            "Store a decision; it is on the disk when the answer is sent",
            {
                "200": json_answer(record({"stored": ref("ReviewDecision"), "progress": ref("ReviewProgress")}), "stored"),
                "400": _WRONG,
                "404": _NO_ITEM,
                "409": _NO_QUEUE,
                "503": _NOT_STORED,
            },
            parameters=[_ITEM, *_QUEUE],
            requestBody=_json_body(
                {
                    "reviewer": _NAME,
                    "decision": _ANSWER,
                    "other_species": schema("string", "with the decision `other`", maxLength=200),
                },
                ("other_species",),
            ),
        )
    },
    "/v1/review/undo": {
        "post": operation(
            "Take back the latest decision of a reviewer",
            {
                "200": json_answer(
                    record(
                        {
                            "undone": {"anyOf": [ref("ReviewDecision"), {"type": "null"}]},
                            "item": {"anyOf": [ref("ReviewItem"), {"type": "null"}]},
                            "progress": ref("ReviewProgress"),
                        }
                    ),
                    "the decision, and the item if it is one of this queue",
                ),
                "400": _WRONG,
                "409": _NO_QUEUE,
                "503": _NOT_STORED,
            },
            parameters=_QUEUE,
            requestBody=_json_body({"reviewer": _NAME}),
        )
    },
    "/v1/review/decisions": {"get": operation("All decisions", {"200": text_answer("text/csv", "reviews.csv")})},
    "/v1/review/species": {
        "get": operation(
            "Species whose names contain a text",
            {
                "200": json_answer(
                    array(
                        record(
                            {
                                "species": TEXT,
                                "common_name": schema(["string", "null"]),
                                "is_own": schema("boolean", "whether the model knows it"),
                            }
                        )
                    ),
                    "at most 20",
                )
            },
            parameters=[_parameter("text", TEXT, "part of a scientific or common name")],
        )
    },
    "/v1/review/summary": {"get": _summary()},
    "/v1/review/apply-precision": {
        "post": operation(
            "Write the thresholds for a wanted precision to the table beside the bundle",
            {
                "200": json_answer(
                    record(
                        {
                            "written": array(
                                record({"species": TEXT, "threshold": PROBABILITY, "reached": schema("boolean")})
                            ),
                            "species_with_threshold": array(TEXT),
                        }
                    ),
                    "the thresholds",
                ),
                "400": _WRONG,
                "409": problem_answer("no decisions, or the table cannot be written"),
            },
            parameters=_QUEUE,
            requestBody=_json_body({"precision": PROBABILITY, "by_lower_bound": schema("boolean")}, ("by_lower_bound",)),
        )
    },
}
