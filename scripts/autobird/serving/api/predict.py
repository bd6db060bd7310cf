"""`POST /v1/predict`: classify one or several recordings."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from flask import Blueprint, Response, g, jsonify, request

from autobird.serving.bundle_info import BundleInfo, BundleInfos
from autobird.serving.compute.requests import ClientGone, QueueFull, Task, TaskAnswer, TaskProblem
from autobird.serving.metrics import Metrics
from autobird.serving.problems import CONTENT_TYPE, Problem, problem
from autobird.serving.request_options import NAMES, Asked, parse_options
from autobird.serving.services import Services
from autobird.serving.tables import FORMATS, check_format, table_name, table_text
from autobird.serving.upload import Uploads

SCHEMA_LIST = "autobird/answers/1"
"""Name and version of the format of the answer for several recordings."""

_MAX_VALUES = 500_000
"""Number of probabilities of windows of several recordings after which no further one is classified: all of them are in memory until the
last one is classified, 100 MB."""

_CLIENT_GONE = 499
"""Status for the log of a proxy; the client has gone and does not get it."""


def blueprint(services: Services, infos: BundleInfos, metrics: Metrics) -> Blueprint:
    """Return the routes.

    Args:
        services: see `create_app`.
        infos: names of the species.
        metrics: counts the predictions.
    """
    routes = Blueprint("predict", __name__)
    pool, settings = services.pool, services.settings
    folder = _upload_folder(services)

    def classify(name: str, source: bytes | memoryview | Path, asked: Asked, info: BundleInfo) -> dict[str, Any]:
        """Return the JSON answer of a recording; log and count it."""
        request_id, is_gone = g.request_id, request.environ.get("waitress.client_disconnected", lambda: False)

        def log_shadow(answer: TaskAnswer) -> None:
            _log(services, answer, request_id, "shadow")

        try:
            answer = pool.submit(Task(source, name, asked.options), is_gone, on_shadow=log_shadow)
        except QueueFull as error:
            raise _busy(error) from error
        if isinstance(answer, TaskProblem):
            headers = {"Retry-After": "5"} if answer.status == 503 else {}
            is_job = services.jobs is not None and answer.title == "Recording too long"
            remedy = ", or send it to /v1/jobs" if is_job else ""
            raise Problem(answer.status, answer.title, answer.detail + remedy, headers)
        number = _log(services, answer, request_id, "answer")
        metrics.audio_seconds.inc(answer.body["duration"])
        best = answer.body["species"][0]["species"] if answer.body["species"] else ""
        metrics.predictions.labels(best).inc()
        for stage, seconds in answer.seconds.items():
            metrics.stages.labels(stage).inc(seconds)
        return _complete(answer, info, number)

    @routes.post("/v1/predict")
    def predict() -> Response:
        with metrics.active.track_inprogress():
            try:
                response = respond()
            except ClientGone:
                metrics.gone.inc()
                return Response(status=_CLIENT_GONE)
        metrics.duration.observe(time.perf_counter() - g.started)
        return response

    def respond() -> Response:
        info = infos.of(pool.bundle())
        query = list(request.args.items(multi=True))
        # Before the upload is parsed, which can be long.
        parse_options(query, (), request.accept_mimetypes, info.names, settings)
        try:
            pool.raise_if_full()
        except QueueFull as error:
            raise _busy(error) from error
        with Uploads(request, int(settings.max_megabytes * 1e6), settings.max_files, NAMES, folder) as uploads:
            asked = parse_options(query, uploads.options, request.accept_mimetypes, info.names, settings)
            check_format(asked.form, len(uploads.files))
            if not uploads.is_list:
                ((name, source),) = uploads.files
                body = classify(name, source, asked, info)
                return jsonify(body) if asked.form == "json" else _table(asked.form, [body])
            outcomes: list[tuple[str, dict[str, Any] | Problem]] = []
            values = 0
            for name, source in uploads.files:
                try:
                    if values > _MAX_VALUES:
                        raise _answer_too_large(values)
                    body = classify(name, source, asked, info)
                    values += sum(len(window["species"]) for window in body["windows"])
                    outcomes.append((name, body))
                except Problem as error:
                    outcomes.append((name, error))
        return _several(asked.form, outcomes)

    def _table(form: str, bodies: Sequence[Mapping[str, Any]]) -> Response:
        features = pool.bundle().features
        text = table_text(form, bodies, (features["fmin"], features["fmax"]))
        response = Response(text, content_type=f"{FORMATS[form]}; charset=utf-8")
        name = table_name(form, [body["file"] for body in bodies])
        response.headers.set("Content-Disposition", "attachment", filename=name)
        return response

    def _several(form: str, outcomes: Sequence[tuple[str, dict[str, Any] | Problem]]) -> Response:
        """Return the answers in the order of the files; an error if there is none, or if the format cannot hold one."""
        problems = [outcome for _, outcome in outcomes if isinstance(outcome, Problem)]
        answers = [outcome for _, outcome in outcomes if not isinstance(outcome, Problem)]
        if form != "json":
            if problems:
                raise Problem(
                    problems[0].status,
                    problems[0].title,
                    f"{len(problems)} of {len(outcomes)} files have no answer, the first one because: {problems[0].detail}; "
                    "leave them out, or use format=json, which has an answer or a problem for each",
                    problems[0].headers,
                )
            return _table(form, answers)
        files = [
            {"file": name, "problem": problem(outcome.status, outcome.title, outcome.detail)}
            if isinstance(outcome, Problem)
            else outcome
            for name, outcome in outcomes
        ]
        if answers:
            return jsonify({"schema": SCHEMA_LIST, "request": g.request_id, "files": files})
        first = problems[0]
        body = problem(
            first.status, first.title, f"no file has an answer, the first one because: {first.detail}", g.request_id
        )
        response = jsonify(body | {"files": files})
        response.status_code, response.content_type = first.status, CONTENT_TYPE
        response.headers.update(first.headers)
        return response

    return routes


def _complete(answer: TaskAnswer, info: BundleInfo, number: int | None) -> dict[str, Any]:
    """Return the answer of a compute process with what only the front knows."""
    body = dict(answer.body)
    return {
        "schema": body.pop("schema"),
        "request": g.request_id,
        "prediction": number,
        **body,
        "warnings": body["warnings"],
        "common_names": {name: info.common[name] for name in body["thresholds"] if name in info.common},
        "seconds": {stage: round(seconds, 4) for stage, seconds in answer.seconds.items()},
    }


def _upload_folder(services: Services) -> Path | None:
    """Return the folder for large uploads while they are classified, without those of a server that was killed; None: the system's."""
    if services.jobs is None or services.settings.state is None:
        return None
    folder = Path(services.settings.state) / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("upload-*"):  # the jobs lock the folder of the state, so no other server uses it
        leftover.unlink(missing_ok=True)
    return folder


def _answer_too_large(values: int) -> Problem:
    return Problem(
        413,
        "Answer too large",
        f"the recordings before this one have {values} probabilities of windows, more than {_MAX_VALUES}; send several requests, a "
        "smaller top_k, or windows=0",
    )


def _busy(error: QueueFull) -> Problem:
    return Problem(503, "Server busy", str(error), {"Retry-After": str(error.retry_after)})


def _log(services: Services, answer: TaskAnswer, request_id: str, role: Literal["answer", "shadow"]) -> int | None:
    """Write an answer to the log; return the id of its entry, None if it is not known (yet)."""
    if services.store is None:
        return None
    from autobird.serving.store.entries import LogEntry

    return services.store.append(LogEntry.of_answer(answer.body, answer.features, answer.seconds, request_id, role))
