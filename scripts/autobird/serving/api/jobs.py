"""`/v1/jobs`: upload a long recording, watch its progress, fetch its result."""

import re
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, jsonify, request

from autobird.serving.api.query import one_of
from autobird.serving.bundle_info import BundleInfos
from autobird.serving.compute.requests import TaskOptions
from autobird.serving.jobs.job import Job
from autobird.serving.jobs.new_job import NewJob, TooManyJobs
from autobird.serving.jobs.queue import Jobs
from autobird.serving.problems import Problem
from autobird.serving.request_options import NAMES, parse_options
from autobird.serving.services import Services
from autobird.serving.tables import FORMATS, table_name, table_text
from autobird.serving.upload import Uploads

_ID = re.compile(r"[0-9a-f]{32}")

_POLL_AFTER = "2"
"""Seconds after which a client should ask again."""


def blueprint(services: Services) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("jobs", __name__)
    infos = BundleInfos()

    def the_jobs() -> Jobs:
        if services.jobs is None:
            raise Problem(404, "No jobs", "the server takes no jobs; start it with --state FOLDER")
        return services.jobs

    @routes.post("/v1/jobs")
    def add() -> Any:
        jobs = the_jobs()
        options(jobs, ())  # before the upload is read, which can be long
        try:
            with jobs.new() as new:
                job = store_upload(jobs, new)
        except TooManyJobs as error:
            title = "Disk full" if error.status == 507 else "Too many jobs"
            raise Problem(error.status, title, str(error), {"Retry-After": "60"}) from error
        return jsonify(jobs.shown(job.id)), 202, {"Location": f"/v1/jobs/{job.id}", "Retry-After": _POLL_AFTER}

    def store_upload(jobs: Jobs, new: NewJob) -> Job:
        try:
            with Uploads(request, jobs.limits.max_bytes, 1, NAMES, new.folder) as uploads:
                ((name, source),) = uploads.files
                return new.store(name, source, options(jobs, uploads.options))
        except Problem as error:
            raise _of_jobs(error) from error
        except OSError as error:
            raise Problem(
                507, "Disk full", "the upload could not be stored; delete jobs, or free space on the server"
            ) from error

    def options(jobs: Jobs, fields: Any) -> TaskOptions:
        """Return the options of the request; the windows of hours are left out unless they are asked for."""
        names = infos.of(services.pool.bundle()).names
        query = list(request.args.items(multi=True))
        if "windows" not in {name for name, _ in [*query, *fields]}:
            query.append(("windows", "0"))
        asked = parse_options(query, fields, request.accept_mimetypes, names, services.settings)
        if asked.options.spectrogram:
            raise Problem(
                400, "Wrong option", "spectrogram is not possible for jobs; ask /v1/predict for parts of the recording"
            )
        return replace(asked.options, max_seconds=jobs.limits.max_seconds, max_values=jobs.limits.max_values)

    @routes.get("/v1/jobs")
    def listed() -> Any:
        return {"jobs": the_jobs().listed()}

    @routes.get("/v1/jobs/<job_id>")
    def one(job_id: str) -> Any:
        shown = the_jobs().shown(_checked(job_id))
        if shown is None:
            raise _unknown(job_id)
        headers = {} if shown["state"] in ("done", "failed") else {"Retry-After": _POLL_AFTER}
        return jsonify(shown), 200, headers

    @routes.delete("/v1/jobs/<job_id>")
    def remove(job_id: str) -> Any:
        if not the_jobs().remove(_checked(job_id)):
            raise _unknown(job_id)
        return Response(status=204)

    @routes.get("/v1/jobs/<job_id>/result")
    def result(job_id: str) -> Any:
        jobs = the_jobs()
        best = request.accept_mimetypes.best_match(list(FORMATS.values())[:3], "application/json")
        form = one_of("format", tuple(FORMATS)) or next(name for name, kind in FORMATS.items() if kind == best)
        job = jobs.get(_checked(job_id))
        if job is None:
            raise _unknown(job_id)
        if job.problem is not None:
            raise Problem(*job.problem)
        found = jobs.result(job_id)
        if found is None:
            raise Problem(
                409,
                "Job not finished",
                f"the job is {job.state}; its result is there when its state is done",
                {"Retry-After": _POLL_AFTER},
            )
        body = answer(job, found)
        if form == "json":
            return jsonify(body)
        response = Response(
            table_text(form, [body], (found["band"][0], found["band"][1])),
            content_type=f"{FORMATS[form]}; charset=utf-8",
        )
        response.headers.set("Content-Disposition", "attachment", filename=table_name(form, [body["file"]]))
        return response

    def answer(job: Job, found: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON answer of a job, as of `/v1/predict`; its request is the job."""
        body, bundle = dict(found["answer"]), services.pool.bundle()
        is_same = body["model"]["fingerprint"] == bundle.fingerprint
        common = infos.of(bundle).common if is_same else {}
        return {
            "schema": body.pop("schema"),
            "request": job.id,
            "prediction": job.prediction,
            **body,
            "common_names": {name: common[name] for name in body["thresholds"] if name in common},
            "seconds": {stage: round(seconds, 4) for stage, seconds in found["seconds"].items()},
        }

    return routes


def _checked(number: str) -> str:
    if not _ID.fullmatch(number):
        raise _unknown(number)
    return number


def _unknown(number: str) -> Problem:
    return Problem(
        404,
        "Unknown job",
        f"there is no job {number[:50]!a}; it was removed, or never existed; /v1/jobs lists all",
    )


def _of_jobs(error: Problem) -> Problem:
    """Return a problem of an upload with the options that limit jobs."""
    detail = error.detail
    if error.title == "Upload too large":
        detail += ", or raise --max-job-megabytes"
    elif error.title == "Too many files":
        detail = "a job has one recording; send a job for each"
    return Problem(error.status, error.title, detail, error.headers)


def openapi_paths() -> dict[str, Any]:
    """Return the descriptions of the routes for the OpenAPI document."""
    from autobird.serving import openapi_log

    return openapi_log.JOBS


def openapi_schemas() -> dict[str, Any]:
    """Return the schemas that these descriptions name."""
    from autobird.serving import openapi_log

    return {name: openapi_log.SCHEMAS[name] for name in ("Job",)}
