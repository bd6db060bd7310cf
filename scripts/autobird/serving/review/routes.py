"""Routes of a review: its queue, the sound of the items, the decisions, and what these say."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from autobird.audio.audio_errors import UnusableAudio
from autobird.core.errors import AutobirdError
from autobird.review.items import ReviewItem
from autobird.review.precision import Precision
from autobird.review.queues import QUEUES, QueueOptions
from autobird.review.thresholds import choose_thresholds
from autobird.serving.api.page import page_response
from autobird.serving.api.query import json_object, text_field
from autobird.serving.problems import Problem
from autobird.serving.review.desk import MAX_CONTEXT, NoSuchItem, Queue, RecordingChanged, ReviewDesk
from autobird.serving.review.names import SpeciesChoice
from autobird.serving.review.options import ReviewQuery, reviewer_of
from autobird.serving.review.values import item_values, progress_values, review_values, summary_values

_ANSWERS = ("yes", "no", "other", "unsure", "skip")
"""Decisions that a client can send; `undo` has a route of its own."""

_MAX_TEXT = 200
"""Largest number of characters of a text."""


def add_routes(routes: Blueprint, desk: ReviewDesk) -> None:
    """Add the routes of a review.

    Args:
        routes: gets the routes.
        desk: the review.
    """
    session = desk.session
    names = SpeciesChoice(session.bundle.labels)

    def query() -> ReviewQuery:
        return ReviewQuery(request.args, session)

    def queue_of(options: QueueOptions) -> Queue:
        try:
            return desk.queue(options)
        except AutobirdError as error:
            raise Problem(409, "Queue not possible", str(error)) from error

    def values(queue: Queue, items: list[ReviewItem], reviewer: str) -> list[dict[str, Any]]:
        own, thresholds = desk.decided(reviewer), session.thresholds
        return [
            item_values(desk, item, queue.number(item.id) + 1, own.get(item.key), thresholds[item.species])
            for item in items
        ]

    def item_of(queue: Queue, identifier: str) -> ReviewItem:
        try:
            return queue.items[queue.number(identifier)]
        except NoSuchItem as error:
            raise Problem(404, "No such item", str(error)) from error

    @routes.get("/review")
    def page() -> AnyResponse:
        # With a slash at the end, the relative addresses in the page would lead elsewhere.
        return redirect("../review", 308) if request.path.endswith("/") else page_response("review.html")

    @routes.get("/v1/review")
    def about() -> Response:
        pool, options = session.pool, session.options
        used = [file for file in pool.files if not file.problem]
        return jsonify(
            {
                "model": {"name": session.bundle.name, "fingerprint": session.bundle.fingerprint},
                "recordings": len(used),
                "skipped": len(pool.files) - len(used),
                "seconds": round(sum(file.duration for file in used), 1),
                "candidates": len(pool.item_window),
                "floor": pool.floor,
                "species": [
                    {"species": label, "common_name": names.common.get(label)} for label in session.bundle.labels
                ],
                "sites": sorted({file.site for file in used if file.site}),
                "has_times": any(file.recorded_at for file in used),
                "queues": [name for name in QUEUES if name != "similar" or options.kind == "similar"],
                "default": {
                    "queue": options.kind,
                    "count": options.count,
                    "seed": options.seed,
                    "species": list(options.filter.species),
                    "site": list(options.filter.sites),
                    "hours": "{:g}-{:g}".format(*options.filter.hours) if options.filter.hours else "",
                    "min_probability": options.filter.min_probability,
                },
            }
        )

    @routes.get("/v1/review/queue")
    def queue_items() -> Response:
        asked = query()
        reviewer = asked.reviewer()
        queue = queue_of(asked.queue())
        items = desk.next_items(queue, reviewer, asked.whole("limit", 5, 1, 100), asked.flag("leave_out_others"))
        return jsonify(
            {"items": values(queue, items, reviewer), "progress": progress_values(desk.progress(queue, reviewer))}
        )

    @routes.get("/v1/review/items/<identifier>")
    def one_item(identifier: str) -> Response:
        asked = query()
        queue = queue_of(asked.queue())
        return jsonify(values(queue, [item_of(queue, identifier)], asked.reviewer())[0])

    @routes.get("/v1/review/items/<identifier>/audio")
    def audio(identifier: str) -> Response:
        asked = query()
        item = item_of(queue_of(asked.queue()), identifier)
        try:
            content = desk.clip(item, asked.number("context", 2.0, 0, MAX_CONTEXT))
        except RecordingChanged as error:
            raise Problem(409, "Recording changed", str(error)) from error
        except UnusableAudio as error:
            raise Problem(422, "Not a usable recording", str(error)) from error
        response = Response(content, content_type="audio/wav")
        response.headers["Cache-Control"] = "private, max-age=600"
        return response

    @routes.post("/v1/review/items/<identifier>/decision")
    def decide(identifier: str) -> Response:
        body = _body(("reviewer", "decision", "other_species"))
        queue = queue_of(query().queue())
        item = item_of(queue, identifier)
        reviewer, decision = reviewer_of(body), body.get("decision")
        if decision not in _ANSWERS:
            raise Problem(
                400, "Wrong option", f"`decision` is {ascii(decision)[:60]}; give one of {', '.join(_ANSWERS)}"
            )
        other = names.label_of(_text(body, "other_species"))
        if bool(other) != (decision == "other"):
            raise Problem(400, "Wrong option", "`other_species` belongs to the decision `other`, and to no other one")
        if other == item.species:
            raise Problem(400, "Wrong option", "`other_species` is the species of the item; send the decision yes")
        try:
            stored = desk.decide(item, reviewer, decision, other)
        except AutobirdError as error:
            raise Problem(503, "Decision not stored", _without_folder(error, desk)) from error
        return jsonify({"stored": review_values(stored), "progress": progress_values(desk.progress(queue, reviewer))})

    @routes.post("/v1/review/undo")
    def undo() -> Response:
        reviewer = reviewer_of(_body(("reviewer",)))
        queue = queue_of(query().queue())
        try:
            undone = desk.undo(reviewer)
        except AutobirdError as error:
            raise Problem(503, "Decision not stored", _without_folder(error, desk)) from error
        items = [] if undone is None else [item for item in queue.items if item.key == undone.key]
        return jsonify(
            {
                "undone": None if undone is None else review_values(undone),
                "item": values(queue, items, reviewer)[0] if items else None,
                "progress": progress_values(desk.progress(queue, reviewer)),
            }
        )

    @routes.get("/v1/review/decisions")
    def decisions() -> Response:
        path = session.table.path
        content = path.read_bytes() if path.is_file() else b""
        response = Response(content, content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = 'attachment; filename="reviews.csv"'
        return response

    @routes.get("/v1/review/species")
    def species() -> Response:
        return jsonify(names.search(request.args.get("text", "")[:100]))

    @routes.get("/v1/review/summary")
    def summary() -> Response:
        asked = query()
        wanted, by_lower = asked.number("precision", 0.9, 0, 1), asked.flag("by_lower_bound")
        within = asked.number("within", 0.05, 0.005, 0.5)
        options = asked.queue()

        def compute(precision: Precision) -> dict[str, Any]:
            chosen = choose_thresholds(precision, wanted, by_lower) if len(precision.sample) else []
            return summary_values(precision, session.thresholds, chosen, wanted, by_lower, within)

        return jsonify(_usable(lambda: desk.summary(options, (wanted, by_lower, within), compute)))

    @routes.post("/v1/review/apply-precision")
    def apply() -> Response:
        body = _body(("precision", "by_lower_bound"))
        wanted, by_lower = body.get("precision"), body.get("by_lower_bound", False)
        if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0 <= wanted <= 1:
            raise Problem(400, "Wrong option", "`precision` is needed: a number from 0 to 1")
        if not isinstance(by_lower, bool):
            raise Problem(400, "Wrong option", "`by_lower_bound` is true or false")
        options = query().queue()
        chosen = _usable(lambda: choose_thresholds(desk.precision(options), float(wanted), by_lower))
        try:
            species = desk.apply(chosen)
        except (AutobirdError, OSError) as error:
            text = str(error) if isinstance(error, AutobirdError) else error.strerror or "the disk refused it"
            raise Problem(
                409, "Thresholds not written", text.replace(str(session.bundle.folder.parent), "...")
            ) from error
        written = [{"species": c.species, "threshold": c.threshold, "reached": c.reached} for c in chosen]
        return jsonify({"written": written, "species_with_threshold": species})


def _usable(value: Any) -> Any:
    """Return the value of a function; a filter that is not possible becomes a problem."""
    try:
        return value()
    except AutobirdError as error:
        raise Problem(409, "Queue not possible", str(error)) from error


def _body(fields: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the JSON object in the body of the request.

    Raises:
        Problem: the body is none, or has other fields.
    """
    value = json_object()
    if set(value) - set(fields):
        raise Problem(400, "Wrong option", f"the body must be a JSON object with the fields {', '.join(fields)}")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = text_field(body, name, _MAX_TEXT)
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise Problem(400, "Wrong option", f"`{name}` must be a text of one line")
    return value.strip()


def _without_folder(error: AutobirdError, desk: ReviewDesk) -> str:
    """Return the message without the path of the table, which is none of a client's business."""
    return str(error).replace(str(desk.session.table.path), desk.session.table.path.name)
