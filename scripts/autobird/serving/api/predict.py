"""`POST /v1/predict`: classify one or several recordings."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from flask import Blueprint, Request, Response, g, request

from autobird.serving.admission import id_of_request
from autobird.serving.bundle_info import BundleInfo, BundleInfos
from autobird.serving.compute.requests import ClientGone, QueueFull, Task, TaskAnswer, TaskProblem
from autobird.serving.gate import Gate, error_response
from autobird.serving.metrics import Metrics
from autobird.serving.problems import CONTENT_TYPE, Problem, problem
from autobird.serving.request_options import NAMES, parse_options
from autobird.serving.services import Services
from autobird.serving.tables import FORMATS, check_format, table_name, table_text
from autobird.serving.upload import Uploads
from autobird.serving.upload_folder import upload_folder

PATH = "/v1/predict"

SCHEMA_LIST = "autobird/answers/1"
"""Name and version of the format of the answer for several recordings."""

_MAX_VALUES = 500_000
"""Number of probabilities of windows of several recordings after which no further one is classified: all of them are in memory until the
last one is classified, 100 MB."""

_CLIENT_GONE = 499
"""Status for the log of a proxy; the client has gone and does not get it."""


class Predict:
    """Answers requests for predictions.

    Args:
        services: see `create_app`.
        infos: names of the species.
        metrics: counts the predictions.

    Attributes:
        folder: for large uploads; None: the system's folder of temporary files.
    """

    def __init__(self, services: Services, infos: BundleInfos, metrics: Metrics) -> None:
        self._services, self._infos, self._metrics = services, infos, metrics
        self._pool, self._settings = services.pool, services.settings
        self.folder = upload_folder(services)

    def answer(self, request: Request, request_id: str, started: float) -> bytes | Response:
        """Return the JSON document with the answer for one recording, or the response for all others.

        Args:
            request: the request; its body was not read yet.
            request_id: its id.
            started: when it began (`time.perf_counter`).

        Raises:
            Problem: there is no answer.
        """
        with self._metrics.active.track_inprogress():
            try:
                response = self._answer(request, request_id)
            except ClientGone:
                self._metrics.gone.inc()
                return Response(status=_CLIENT_GONE)
        self._metrics.duration.observe(time.perf_counter() - started)
        return response

    def _answer(self, request: Request, request_id: str) -> bytes | Response:
        pool, settings = self._pool, self._settings
        info = self._infos.of(pool.bundle())
        query = list(request.args.items(multi=True))
        # Before the upload is parsed, which can be long.
        asked = parse_options(query, (), request.accept_mimetypes, info.names, settings)
        try:
            pool.raise_if_full()
        except QueueFull as error:
            raise _busy(error) from error
        with Uploads(request, int(settings.max_megabytes * 1e6), settings.max_files, NAMES, self.folder) as uploads:
            if uploads.options:
                asked = parse_options(query, uploads.options, request.accept_mimetypes, info.names, settings)
            check_format(asked.form, len(uploads.files))
            is_gone = request.environ.get("waitress.client_disconnected", lambda: False)

            def classify(name: str, source: bytes | memoryview | Path) -> dict[str, Any]:
                return self._classify(Task(source, name, asked.options), info, request_id, is_gone)

            if not uploads.is_list:
                body = classify(*uploads.files[0])
                return _json(body) if asked.form == "json" else self._table(asked.form, [body])
            outcomes: list[tuple[str, dict[str, Any] | Problem]] = []
            values = 0
            for name, source in uploads.files:
                try:
                    if values > _MAX_VALUES:
                        raise _answer_too_large(values)
                    body = classify(name, source)
                    values += sum(len(window["species"]) for window in body["windows"])
                    outcomes.append((name, body))
                except Problem as error:
                    outcomes.append((name, error))
        return self._several(asked.form, outcomes, request_id)

    def _classify(self, task: Task, info: BundleInfo, request_id: str, is_gone: Callable[[], bool]) -> dict[str, Any]:
        """Return the JSON answer of a recording; log and count it."""

        def log_shadow(answer: TaskAnswer) -> None:
            _log(self._services, answer, request_id, "shadow")

        try:
            answer = self._pool.submit(task, is_gone, on_shadow=log_shadow)
        except QueueFull as error:
            raise _busy(error) from error
        if isinstance(answer, TaskProblem):
            headers = {"Retry-After": "5"} if answer.status == 503 else {}
            is_job = self._services.jobs is not None and answer.title == "Recording too long"
            remedy = ", or send it to /v1/jobs" if is_job else ""
            raise Problem(answer.status, answer.title, answer.detail + remedy, headers)
        number = _log(self._services, answer, request_id, "answer")
        metrics = self._metrics
        metrics.audio_seconds.inc(answer.body["duration"])
        best = answer.body["species"][0]["species"] if answer.body["species"] else ""
        metrics.predictions.labels(best).inc()
        for stage, seconds in answer.seconds.items():
            metrics.stages.labels(stage).inc(seconds)
        return _complete(answer, info, number, request_id)

    def _table(self, form: str, bodies: Sequence[Mapping[str, Any]]) -> Response:
        text = table_text(form, bodies, self._pool.bundle().frequencies)
        response = Response(text, content_type=f"{FORMATS[form]}; charset=utf-8")
        name = table_name(form, [body["file"] for body in bodies])
        response.headers.set("Content-Disposition", "attachment", filename=name)
        return response

    def _several(
        self, form: str, outcomes: Sequence[tuple[str, dict[str, Any] | Problem]], request_id: str
    ) -> bytes | Response:
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
            return self._table(form, answers)
        files = [
            {"file": name, "problem": problem(outcome.status, outcome.title, outcome.detail)}
            if isinstance(outcome, Problem)
            else outcome
            for name, outcome in outcomes
        ]
        if answers:
            return _json({"schema": SCHEMA_LIST, "request": request_id, "files": files})
        first = problems[0]
        body = problem(
            first.status, first.title, f"no file has an answer, the first one because: {first.detail}", request_id
        )
        response = Response(_json(body | {"files": files}), status=first.status, content_type=CONTENT_TYPE)
        response.headers.update(first.headers)
        return response


def blueprint(predict: Predict) -> Blueprint:
    """Return the route of `predict`."""
    routes = Blueprint("predict", __name__)

    @routes.post(PATH)
    def post() -> Response:
        answer = predict.answer(request, g.request_id, g.started)
        return Response(answer, content_type="application/json") if isinstance(answer, bytes) else answer

    return routes


class PredictDirectly:
    """A WSGI app that answers requests for predictions itself, and gives others to the app of Flask.

    Flask's dispatch takes as long as all other work of the front for an answer.

    Args:
        app: for other requests.
        predict: answers requests.
        gate: checks them.
    """

    def __init__(self, app: Any, predict: Predict, gate: Gate) -> None:
        self._app, self._predict, self._gate = app, predict, gate

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] != "POST":
            found: Iterable[bytes] = self._app(environ, start_response)
            return found
        started = time.perf_counter()
        direct = Request(environ)
        headers = direct.headers
        request_id = id_of_request(headers)
        try:
            self._gate.check("POST", PATH, headers)
            answer = self._predict.answer(direct, request_id, started)
        except Exception as error:
            answer = error_response(error, request_id, environ)
        if isinstance(answer, bytes):
            start_response("200 OK", self._gate.json_headers(request_id, "POST", headers, len(answer)))
            return [answer]
        return self._gate.complete(answer, request_id, "POST", headers)(environ, start_response)


def _json(body: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(body, separators=(',', ':'))}\n".encode()


def _complete(answer: TaskAnswer, info: BundleInfo, number: int | None, request_id: str) -> dict[str, Any]:
    """Return the answer of a compute process with what only the front knows."""
    body = dict(answer.body)
    return {
        "schema": body.pop("schema"),
        "request": request_id,
        "prediction": number,
        **body,
        "warnings": body["warnings"],
        "common_names": {name: info.common[name] for name in body["thresholds"] if name in info.common},
        "seconds": {stage: round(seconds, 4) for stage, seconds in answer.seconds.items()},
    }


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
