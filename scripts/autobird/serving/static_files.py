"""The files of the web page, which need nothing from another server."""

from pathlib import Path

from flask import Blueprint, Response, abort, send_from_directory

_FOLDER = Path(__file__).with_name("static")

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Content types by extension. Those of the system are not used: on Windows, the registry may call JavaScript text/plain, and browsers
refuse such modules."""

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; media-src 'self' blob:; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""The page plays and saves sound that it has made itself (`blob:`); it has no inline script or style."""

pages = Blueprint("pages", __name__)


@pages.get("/")
def index() -> Response:
    """Return the page."""
    return _file("index.html")


@pages.get("/static/<name>")
def static_file(name: str) -> Response:
    """Return a style sheet, script or picture of the page."""
    return _file(name)


def _file(name: str) -> Response:
    kind = _TYPES.get(Path(name).suffix)
    if kind is None:
        abort(404)
    # A browser asks every time whether the file has changed: after an update of the server, no page is mixed from two versions.
    response = send_from_directory(_FOLDER, name, mimetype=kind, max_age=0)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
