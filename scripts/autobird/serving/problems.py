"""Error answers in the format of RFC 9457 (problem details), and the list of the kinds of problems that /docs shows."""

import json
import re
from collections.abc import Mapping
from typing import Any

CONTENT_TYPE = "application/problem+json"

KINDS: Mapping[str, str] = {
    "Wrong option": "A parameter has a value that is not possible; the detail names the allowed values.",
    "No recording": "The request holds no recording, or it is not clear which field of the form is one.",
    "Damaged form": "The multipart form cannot be read, or ends before its closing boundary.",
    "Incomplete upload": "The body ended before the length that Content-Length declares. Send it again.",
    "Broken upload": "The chunks of the body are invalid, or the connection was closed. Send it again.",
    "Encoded upload": "The body has a Content-Encoding. Send the recording without it.",
    "Upload too large": "The body is larger than --max-megabytes, or of a job --max-job-megabytes. Send a shorter or compressed "
    "recording, or use /v1/jobs.",
    "Too many fields": "The form has more fields than the server reads.",
    "Too many files": "The form has more recordings than --max-files. Send several requests.",
    "Recording too long": "The recording is longer than --max-seconds, or has more samples than --max-values, however small the file "
    "is. Cut it into parts, or use /v1/jobs.",
    "Not a usable recording": "The file cannot be decoded, is too short, or is something else than a recording.",
    "Answer too large": "The recordings of the request have more probabilities of windows than one answer may have. Send several "
    "requests, or windows=0.",
    "Too many files for this format": "The format holds one recording. Send one, or use format=csv.",
    "Server busy": "As many requests wait as --queue allows, they need as many windows of the backbone as --queue-windows allows, or "
    "the drift test is being computed. Try again after the seconds of the header Retry-After.",
    "Recording takes too long": "The recording was not classified within --time-limit. Cut it into parts.",
    "Damaged recording": "The decoder crashed on this file. Save it again with another program.",
    "Compute process killed": "The process that classified the recording was ended from outside, twice. Try later.",
    "Embedding process ended": "The process that computes the backbone ended twice during this recording. Try later.",
    "Out of memory": "The server has not enough memory for this recording. Cut it into parts, or try later.",
    "Request timed out": "The request did not arrive within --header-seconds or --body-seconds.",
    "Headers too large": "The headers of the request are too large.",
    "Bad request": "The request does not follow the HTTP standard (start line, header or chunks).",
    "Wrong content type": "The body must be a JSON object, with the header Content-Type: application/json.",
    "Wrong JSON": "The body is not a JSON object.",
    "No log": "The server was started without --log.",
    "No jobs": "The server was started without --state, so it takes no jobs.",
    "Unknown job": "There is no job with this id; finished jobs are deleted after --job-days.",
    "Job not finished": "The job waits or runs. Ask again later.",
    "Too many jobs": "The server keeps as many jobs as --max-jobs allows. Delete one, or try later.",
    "Disk full": "The disk of the server has no space for the upload. Try later.",
    "Unknown prediction": "The log has no entry of this request, or with this id; entries older than --keep-days are removed.",
    "Log unavailable": "The log cannot be read or written now. Try again after the seconds of the header Retry-After.",
    "API key missing or wrong": "The server has --keys: send a key in the header Authorization: Bearer KEY, or X-API-Key: KEY.",
    "Too many requests": "This API key has used up its rate. Try again after the seconds of the header Retry-After.",
    "Queue not possible": "The queue of the review needs what this review does not have; choose another queue or filter.",
    "No such item": "The queue has no item with this id; the parameters of the queue belong to each request about an item.",
    "Recording changed": "The recording is not the file that was classified; start the review again.",
    "Decision not stored": "The table of decisions cannot be written. Send the decision again when the disk has room.",
    "Thresholds not written": "There is no decision about an item that was drawn at random, or the table cannot be written.",
    "Foreign host name": "The header Host is not a name of this server, as in DNS rebinding. Start it with --allow-host NAME.",
    "Foreign page": "A page of another site sent the request. Start the server with --allow-origin URL to allow it.",
    "Internal error": "The server failed; its log says why. The id of the request is in the answer.",
}
"""The titles of the app's own problems, and what they mean. Others are those of HTTP, for example `Not Found`."""


def upload_too_large(limit: int, path: str) -> str:
    """Return the detail of the problem that a body is larger than `limit`, bytes; `path` is that of the request."""
    jobs = ", or send it to /v1/jobs (a server with --state)" if path == "/v1/predict" else ""
    return f"the upload is larger than {limit / 1e6:.10g} MB; send a shorter or compressed recording{jobs}"


class Problem(Exception):
    """An error answer, raised while a request is processed.

    Attributes:
        status: HTTP status.
        title: kind of the problem, one of `KINDS`.
        headers: further headers of the response.
    """

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.headers = status, title, dict(headers or {})

    @property
    def detail(self) -> str:
        """What is wrong with which value, and the remedy."""
        return str(self)


def slug(title: str) -> str:
    """Return the name of a kind of problem in URLs: `upload-too-large`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def problem(status: int, title: str, detail: str, request: str = "") -> dict[str, Any]:
    """Return the content of an error answer.

    Args:
        status: HTTP status.
        title: kind of the problem; if it is one of `KINDS`, `type` is the place in /docs that explains it.
        detail: what is wrong with which value, and the remedy.
        request: id of the request, if it has one.
    """
    kind = f"/docs#{slug(title)}" if title in KINDS else "about:blank"  # only HTTP's own explanation
    value: dict[str, Any] = {"type": kind, "title": title, "status": status, "detail": detail}
    return value | ({"request": request} if request else {})


def problem_bytes(status: int, title: str, detail: str, request: str = "") -> bytes:
    """Return the body of an error answer; its content type is `CONTENT_TYPE`."""
    return json.dumps(problem(status, title, detail, request)).encode()
