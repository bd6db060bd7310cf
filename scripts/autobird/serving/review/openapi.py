"""Descriptions of the routes of a review in the OpenAPI document."""

from typing import Any

from autobird.review.queues import QUEUES
from autobird.serving.openapi import Operation, answers, json_answer, operation, problem_answer, text_answer
from autobird.serving.openapi_schemas import (
    PROBABILITY,
    TEXT,
    Schema,
    array,
    record,
    ref,
    schema,
)
from autobird.serving.review.desk import MAX_CONTEXT
from autobird.serving.review.openapi_schemas import ANSWER, NAME
from autobird.serving.review.options import MAX_COUNT


def _parameter(name: str, value: Schema, description: str, place: str = "query") -> dict[str, Any]:
    required = {"required": True} if place == "path" or name == "reviewer" else {}
    return {"name": name, "in": place, "schema": value, "description": description, **required}


_QUEUE = [
    _parameter("queue", schema("string", enum=list(QUEUES)), "kind of the queue"),
    _parameter("count", schema("integer", minimum=1, maximum=MAX_COUNT), "largest number of items of the queue"),
    _parameter("seed", schema("integer", minimum=0), "another seed draws another sample"),
    _parameter("species", TEXT, "only this species; repeatable; empty: all"),
    _parameter("site", TEXT, "only this site; repeatable; empty: all"),
    _parameter(
        "hours", TEXT, "only windows of these hours of the day, for example 4-8, or 22-4 for a night; empty: all"
    ),
    _parameter("min_probability", PROBABILITY, "lowest probability of an item"),
]
"""Parameters of a queue. They belong to each request about an item, too, because an item is one of a queue."""

_REVIEWER = _parameter("reviewer", NAME, "name of the reviewer")
_ITEM = _parameter("identifier", TEXT, "id of the item", "path")
_WRONG = problem_answer("a value is not possible")
_WRONG_BODY = {
    "413": problem_answer("the body is too large"),
    "415": problem_answer("the body is not application/json"),
}
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
            _parameter(
                "leave_out_others", schema("boolean"), "whether items that others have decided about are left out"
            ),
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
            _parameter(
                "within",
                schema("number", minimum=0.005, maximum=0.5),
                "wanted half width of the interval (default 0.05)",
            ),
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
                    "context",
                    schema("number", minimum=0, maximum=MAX_CONTEXT),
                    "seconds before and after the window (default 2)",
                ),
            ],
        )
    },
    "/v1/review/items/{identifier}/decision": {
        "post": operation(
            "Store a decision; it is on the disk when the answer is sent",
            {
                "200": json_answer(
                    record({"stored": ref("ReviewDecision"), "progress": ref("ReviewProgress")}), "stored"
                ),
                "400": _WRONG,
                **_WRONG_BODY,
                "404": _NO_ITEM,
                "409": _NO_QUEUE,
                "503": _NOT_STORED,
            },
            parameters=[_ITEM, *_QUEUE],
            requestBody=_json_body(
                {
                    "reviewer": NAME,
                    "decision": ANSWER,
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
                **_WRONG_BODY,
                "409": _NO_QUEUE,
                "503": _NOT_STORED,
            },
            parameters=_QUEUE,
            requestBody=_json_body({"reviewer": NAME}),
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
                **_WRONG_BODY,
                "409": problem_answer("no decisions, or the table cannot be written"),
            },
            parameters=_QUEUE,
            requestBody=_json_body(
                {"precision": PROBABILITY, "by_lower_bound": schema("boolean")}, ("by_lower_bound",)
            ),
        )
    },
}
