"""The web page: `GET /` and `/static/...`, templates and files of the package."""

import hashlib
from functools import cache
from pathlib import Path, PurePosixPath

from flask import Blueprint, Response, abort, request
from jinja2 import Environment, FileSystemLoader

STATIC = Path(__file__).parents[1] / "static"
"""Folder of the files that the pages load."""

PAGES = Path(__file__).parents[1] / "pages"
"""Folder of the templates of the pages, which share their frame and controls."""

_HTML = "text/html; charset=utf-8"

_TYPES = {
    # Not from the operating system, whose table may call JavaScript text, which browsers do not run with `nosniff`.
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
    ".flac": "audio/flac",
}
"""Content types by suffix; files with others are not served."""


def blueprint(folder: Path = STATIC) -> Blueprint:
    """Return the routes.

    Args:
        folder: of the files that the page loads.
    """
    routes = Blueprint("page", __name__)

    @routes.get("/")
    def page() -> Response:
        return page_response("index.html")

    @routes.get("/favicon.ico")  # browsers ask for it, whatever the page says
    def icon() -> Response:
        return file_response(folder, "icon.svg")

    @routes.get("/static/<path:name>")
    def static(name: str) -> Response:
        return file_response(folder, name)

    return routes


def page_response(name: str) -> Response:
    """Return a page, or status 304 if the client has it already.

    Args:
        name: of its template.
    """
    return _response(_page(name), _HTML)


@cache
def _page(name: str) -> bytes:
    # No values are filled in: the same page is sent to all.
    templates = Environment(loader=FileSystemLoader(PAGES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return templates.get_template(name).render().encode()


def file_response(folder: Path, name: str) -> Response:
    """Return a file, or status 304 if the client has it already.

    Args:
        folder: only files below it are served.
        name: path below it, with `/`.
    """
    kind = _TYPES.get(PurePosixPath(name).suffix.lower())
    # Only names of files that a listing of the folder shows, whatever `..`, links or special characters a name has.
    known = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()} if kind else {}
    if name not in known:
        abort(404)
    return _response(known[name].read_bytes(), str(kind))


def _response(content: bytes, kind: str) -> Response:
    response = Response(content, content_type=kind)
    response.set_etag(hashlib.sha256(content).hexdigest()[:32])
    # The browser asks each time, so that a new version of the server is never mixed with old files.
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response
