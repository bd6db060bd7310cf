"""Run the app under gunicorn, in several worker processes."""

import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from autobird.core.errors import AutobirdError
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.bundle import Bundle
from autobird.serving.address import bind, listen, url
from autobird.serving.log import PredictionLog
from autobird.serving.settings import ServeSettings

_REQUEST_TIMEOUT = 120
"""Least time limit of a request, seconds; gunicorn restarts a worker that exceeds the limit."""

_TIME_PER_BACKBONE_WINDOW = 0.3
"""Additional seconds for each window that the backbone computes for the longest recording. BirdNET takes 0.035 to 0.075 on a core
of 2020; a slow core that all workers share takes several times as long."""


def request_timeout(bundle: Bundle, max_seconds: float) -> int:
    """Return the time limit of a request, seconds.

    Args:
        bundle: the bundle.
        max_seconds: longest recording, seconds.
    """
    windows = max_seconds * bundle.backbone_windows_per_second
    return _REQUEST_TIMEOUT + math.ceil(min(windows * _TIME_PER_BACKBONE_WINDOW, 1e6))


def serve(bundle: Path, settings: ServeSettings) -> None:
    """Run the server until the process is terminated.

    Raises:
        AutobirdError: the bundle cannot be read, does not give the expected probabilities on this machine, the address or the
            log cannot be used, or the packages of the server are not installed.
    """
    try:
        from gunicorn.app.base import BaseApplication
    except ImportError as error:
        raise AutobirdError(
            f"the server needs a package that is not installed ({error}); run: pip install 'autobird[serve]'"
        ) from error

    listener = bind(settings.host, settings.port)
    if settings.log:
        PredictionLog(Path(settings.log))  # reports a file that cannot be used, before any worker starts
    timeout = request_timeout(_check_bundle(bundle, settings.backbone), settings.max_seconds)
    listen(listener)
    workers = f"{settings.workers} worker process{'es' if settings.workers > 1 else ''}"
    announcement = f"{bundle} is served at {url(listener)} by {workers}; press Ctrl+C to stop"
    descriptor = listener.detach()  # gunicorn closes it
    # prometheus_client reads this variable when the metrics are created: they are then shared through files in the folder.
    folder = tempfile.mkdtemp(prefix="autobird-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    from autobird.serving import metrics

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options: dict[str, Any] = {
                # The socket is opened above, because gunicorn reports an address that cannot be used only after several
                # attempts, in many lines.
                "bind": f"fd://{descriptor}",
                # A client of this machine could otherwise set WSGI variables by headers such as SCRIPT_NAME.
                "forwarder_headers": "",
                "header_map": "drop",
                "loglevel": "warning",
                "when_ready": lambda _server: print(announcement, flush=True),
                "workers": settings.workers,
                "preload_app": False,
                "control_socket_disable": True,
                "timeout": timeout,
                "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,
                "child_exit": lambda _server, worker: metrics.remove_worker(worker.pid),
                "on_exit": lambda _server: shutil.rmtree(folder, ignore_errors=True),
                "accesslog": None,
                "proc_name": "autobird",
            }
            for name, value in options.items():
                if name in self.cfg.settings:  # older versions of gunicorn have no control socket
                    self.cfg.set(name, value)

        def load(self) -> Any:
            # Imported in each worker: ONNX Runtime starts threads on import, and threads do not exist in a forked process.
            from autobird.core.decoder_messages import shorten_decoder_messages
            from autobird.serving.app import create_app

            shorten_decoder_messages()
            threadpool_limits(
                1
            )  # one thread per worker: spinning BLAS threads of all workers would slow each other down
            return create_app(bundle, settings)

    Application().run()


def _check_bundle(bundle: Path, backbone: str | None) -> Bundle:
    """Check the bundle and its backbone once, in a separate process (`autobird.predict.check`); return the bundle.

    The separate process is needed because the parent of forked workers must not load ONNX Runtime: its threads would not exist
    in the workers. A check inside the workers would run once per worker, and gunicorn would report a failure as a crash.

    Raises:
        AutobirdError: the bundle cannot be read, the table of thresholds beside it does not fit it, or it does not give the expected
            probabilities on this machine.
    """
    loaded = Bundle.load(bundle)
    AnswerOptions().apply(loaded)
    for note in AnswerOptions().notes(loaded):
        print(f"note: {note}", file=sys.stderr)
    command = [sys.executable, "-m", "autobird.predict.check", str(bundle), *([backbone] if backbone else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        raise AutobirdError(
            errors[-1].removeprefix("error: ")
            if errors
            else f"{bundle} cannot be checked: the process ended with status {done.returncode}; "
            f"run `autobird bundle check {bundle}`"
        )
    return loaded
