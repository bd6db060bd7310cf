"""Run the server: the HTTP front with the app in this process, and the compute processes."""

import gc
import signal
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import quote

from autobird.core.errors import AutobirdError
from autobird.serving.address import bind, listen, url
from autobird.serving.compute.embeddings import Embeddings
from autobird.serving.compute.pool import PoolOptions, ProcessPool
from autobird.serving.jobs.queue import Jobs
from autobird.serving.settings import ServeSettings
from autobird.serving.state import opened_state
from autobird.serving.store.store import Store

if TYPE_CHECKING:
    from autobird.review.session import ReviewSession
    from autobird.serving.review.desk import ReviewDesk

_SPARE_THREADS = 16
"""Threads of the front beside those for requests that wait: they answer requests that are not classified, such as /healthz."""

_STACK = 1 << 20
"""Memory for the stack of a thread, bytes; the default on Linux is 8 MB."""

_SPARE_DESCRIPTORS = 200
"""File descriptors that are kept free for files, pipes and uploads on disk."""

_MAX_CONNECTIONS = 4000
"""Largest number of open connections."""

_GRACE_SECONDS = 30.0
"""Time for the requests in progress when the server is asked to stop."""


def serve(
    bundle: Path,
    settings: ServeSettings,
    review: "ReviewSession | None" = None,
    reviewer: str | None = None,
    open_browser: bool = False,
) -> None:
    """Run the server until the process is asked to terminate (SIGTERM, Ctrl+C); requests in progress are answered.

    Args:
        bundle: folder of the bundle.
        settings: options of the server.
        review: the review that the server offers at /review; None: none.
        reviewer: only the review is offered to people, under this name; "": the page asks for it. None: the review is beside the page.
        open_browser: whether the review is opened in the browser.

    Raises:
        AutobirdError: the bundle cannot be read, does not give the expected probabilities on this machine, the address or the
            log cannot be used, or the packages of the server are not installed.
    """
    listener = bind(settings.host, settings.port)
    # A log that cannot be used is reported before any process starts.
    embeddings = Embeddings(settings.backbone, settings.backbone_threads)
    with opened_state(bundle, settings, embeddings) as (store, jobs):
        pool = ProcessPool(
            bundle,
            PoolOptions(
                processes=settings.workers,
                queued=settings.queue,
                queued_windows=settings.queue_windows,
                seconds=settings.time_limit,
                backbone=settings.backbone,
                shadow=Path(settings.shadow) if settings.shadow else None,
            ),
            embeddings,
        )
        try:
            _run(bundle, settings, listener, pool, store, jobs, review, reviewer, open_browser)
        finally:
            pool.close(1.0)


def _run(
    bundle: Path,
    settings: ServeSettings,
    listener: socket.socket,
    pool: ProcessPool,
    store: Store | None,
    jobs: Jobs | None,
    review: "ReviewSession | None",
    reviewer: str | None,
    open_browser: bool,
) -> None:
    try:  # while the first compute process starts
        from autobird.serving.app import create_app
        from autobird.serving.http.front import Front, FrontLimits
        from autobird.serving.security import problem_response
        from autobird.serving.services import Services
    except ImportError as error:
        raise AutobirdError(
            f"the server needs a package that is not installed ({error}); run: pip install 'autobird[serve]'"
        ) from error
    for note in pool.wait_until_ready().notes:
        print(f"note: {note}", file=sys.stderr)
    services = Services(pool, settings, store, jobs, _desk(review))
    app = create_app(services)
    listen(listener)
    limits = FrontLimits(
        connections=_allowed_connections(),
        threads=settings.queue + settings.workers + _SPARE_THREADS,
        header_seconds=settings.header_seconds,
        body_seconds=settings.body_seconds,
        buffered_bytes=_buffered_bytes(settings),
    )
    stack = threading.stack_size(_STACK)
    front = Front(
        app,
        listener,
        limits,
        lambda path: _max_bytes(path, settings),
        problem_response,
        lambda status: app.extensions["metrics"].errors.labels(str(status)).inc(),
        app.extensions["admission"].refusal,
        app.extensions["upload_folder"],
    )
    threading.stack_size(stack)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if front.is_stopping:
            raise KeyboardInterrupt  # asked again: do not wait for the requests in progress
        front.request_stop()

    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), stop)
    workers = f"{settings.workers} worker process{'es' if settings.workers > 1 else ''}"
    if review is None or reviewer is None:
        print(f"{bundle} is served at {url(listener)} by {workers}; press Ctrl+C to stop", flush=True)
    if settings.host in ("0.0.0.0", "::") and not settings.keys:
        print("note: everyone in the network can use it, at the address of this machine; --keys requires an API key")
    if review is not None:
        address = f"{url(listener)}/review{f'?reviewer={quote(reviewer)}' if reviewer else ''}"
        print(f"the review is at {address}{'' if reviewer is None else '; press Ctrl+C to stop'}", flush=True)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    gc.freeze()  # what lives as long as the server is not looked at again; a full collection took some 10 ms
    with suppress(KeyboardInterrupt):
        front.run(_GRACE_SECONDS)


def _max_bytes(path: str, settings: ServeSettings) -> int:
    """Return the size of the largest body that a path accepts; without --state there are no jobs, whose bodies are larger."""
    is_job = settings.state is not None and path.rstrip("/") == "/v1/jobs"
    megabytes = settings.max_job_megabytes if is_job else settings.max_megabytes
    return int(megabytes * 1e6)


def _desk(review: "ReviewSession | None") -> "ReviewDesk | None":
    if review is None:
        return None
    from autobird.serving.review.desk import ReviewDesk

    return ReviewDesk(review)


def _buffered_bytes(settings: ServeSettings) -> int:
    """Return the size of all bodies that may arrive at the same time: at least two of the largest."""
    return max(4_000_000_000, 2 * max(_max_bytes(path, settings) for path in ("/v1/jobs", "/v1/predict")))


def _allowed_connections() -> int:
    """Raise the limit of open files of this process as far as it may, and return how many connections this allows."""
    try:
        import resource
    except ImportError:  # Windows: select() takes 512 sockets
        return 400
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_CONNECTIONS + _SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        _MAX_CONNECTIONS
        if soft == resource.RLIM_INFINITY
        else max(16, min(_MAX_CONNECTIONS, soft - _SPARE_DESCRIPTORS))
    )
