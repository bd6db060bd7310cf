"""`/v1/feedback`: what people say about detections."""

from typing import Any, get_args

from flask import Blueprint

from autobird.serving.api.predictions import log_unavailable
from autobird.serving.api.query import json_object, number_field, page_parameters, text_field, the_store
from autobird.serving.problems import Problem
from autobird.serving.services import Services
from autobird.serving.store.backend import Unavailable
from autobird.serving.store.entries import DECISIONS, Decision, Feedback
from autobird.serving.store.store import Store

_LONGEST_NAME = 200
"""Largest number of characters of the name of a species, a reviewer or a request."""

_LATEST = 1e6
"""Latest time in a recording, seconds: more than a week."""

_LARGEST_ID = 2**53
"""Largest whole number that JSON readers keep exactly."""

assert get_args(Decision) == DECISIONS


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("feedback", __name__)

    @routes.get("/v1/feedback")
    def listed() -> Any:
        store = the_store(services)
        before, limit = page_parameters()
        try:
            found = store.feedback(before, limit)
        except Unavailable as error:
            raise log_unavailable(error) from error
        return {"feedback": found, "next": found[-1]["id"] if len(found) == limit else None}

    @routes.post("/v1/feedback")
    def add() -> Any:
        store = the_store(services)
        feedback = _feedback()
        try:
            _check_exists(store, feedback)
            number = store.append_feedback(feedback)
        except Unavailable as error:
            raise log_unavailable(error) from error
        # 202: the database is locked; the row is written as soon as it is not.
        return {"id": number}, 201 if number is not None else 202

    return routes


def _feedback() -> Feedback:
    """Return the feedback in the body of the request.

    Raises:
        Problem: a field is missing or has a value that is not possible.
    """
    body = json_object()
    known = {"request", "prediction", "start", "end", "species", "decision", "other_species", "reviewer"}
    if unknown := sorted(set(body) - known):
        raise Problem(
            400, "Wrong option", f"there is no field {unknown[0][:50]!r}; the fields are {', '.join(sorted(known))}"
        )
    request = text_field(body, "request", _LONGEST_NAME)
    prediction = None if body.get("prediction") is None else number_field(body, "prediction", 1, _LARGEST_ID)
    if (not request and prediction is None) or (prediction is not None and prediction % 1):
        raise Problem(
            400,
            "Wrong option",
            "give `request` (the id of an answer) or `prediction` (the id of an entry of /v1/predictions)",
        )
    start = number_field(body, "start", 0, _LATEST)
    decision = text_field(body, "decision", _LONGEST_NAME, required=True)
    if decision not in DECISIONS:
        raise Problem(400, "Wrong option", f"`decision` is {decision[:50]!r}; give one of {', '.join(DECISIONS)}")
    other = text_field(body, "other_species", _LONGEST_NAME)
    if other and decision != "other":
        raise Problem(
            400,
            "Wrong option",
            "`other_species` is given, but `decision` is not `other`; leave it out, or set the decision",
        )
    return Feedback(
        request=request,
        prediction=None if prediction is None else int(prediction),
        start=start,
        end=number_field(body, "end", start, _LATEST),
        species=text_field(body, "species", _LONGEST_NAME, required=True),
        decision=decision,
        other_species=other,
        reviewer=text_field(body, "reviewer", _LONGEST_NAME),
    )


def _check_exists(store: Store, feedback: Feedback) -> None:
    """Check that the log has the request and the prediction that feedback names; entries that wait to be written count.

    Raises:
        Problem: it has not.
        Unavailable: it cannot be read.
    """
    request, prediction = feedback.request, feedback.prediction
    if request and not store.has_request(request):
        raise Problem(
            404,
            "Unknown prediction",
            f"the log has no entry of the request {_shown(request)}; give `request` of an answer of this server (or its job), or "
            "`id` of an entry of /v1/predictions as `prediction`",
        )
    if prediction is None:
        return
    found = store.request_of(prediction)
    if found is None or (request and found != request):
        reason = "no entry" if found is None else f"another request ({_shown(found)}) for the entry"
        raise Problem(
            404,
            "Unknown prediction",
            f"the log has {reason} {prediction}; give `prediction` of an answer, or `id` of an entry of /v1/predictions",
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 64 else f"{text[:64]}...")


def openapi_paths() -> dict[str, Any]:
    """Return the descriptions of the routes for the OpenAPI document."""
    from autobird.serving import openapi_log

    return openapi_log.FEEDBACK


def openapi_schemas() -> dict[str, Any]:
    """Return the schemas that these descriptions name."""
    from autobird.serving import openapi_log

    return {name: openapi_log.SCHEMAS[name] for name in ("Feedback", "NewFeedback")}
