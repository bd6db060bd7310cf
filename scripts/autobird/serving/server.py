"""The app under gunicorn: one process a core."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from autobird.core.errors import AutobirdError
from autobird.predict.bundle import Bundle
from autobird.serving.settings import ServeSettings


def serve(bundle: Path, settings: ServeSettings) -> None:
    """Answer requests until the process is told to end.

    Raises:
        AutobirdError: the bundle cannot be read or does not give its expected answer on this machine, or the
            server's packages are not installed.
    """
    try:
        from gunicorn.app.base import BaseApplication
    except ImportError as error:
        raise AutobirdError(
            f"the server needs a package that is not there ({error}); pip install 'autobird[serve]'"
        ) from error

    _check(bundle)  # a bundle that cannot be read, or answers wrongly, is an error here, not in every worker
    # Set before the metrics are made, which are files in that folder then.
    folder = tempfile.mkdtemp(prefix="autobird-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    from autobird.serving import metrics

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options: dict[str, Any] = {
                "bind": f"{settings.host}:{settings.port}",
                "workers": settings.workers,
                "preload_app": False,
                "control_socket_disable": True,
                "timeout": settings.timeout,
                "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,
                "child_exit": lambda _server, worker: metrics.forget(worker.pid),
                "on_exit": lambda _server: shutil.rmtree(folder, ignore_errors=True),
                "accesslog": None,
                "proc_name": "autobird",
            }
            for name, value in options.items():
                if name in self.cfg.settings:  # older gunicorns have no control socket
                    self.cfg.set(name, value)

        def load(self) -> Any:
            # Only here, in each worker: threads that ONNX Runtime starts on import do not live on in a forked process.
            from autobird.serving.app import create_app

            threadpool_limits(1)  # one worker a core; threads of BLAS that spin would slow them all
            return create_app(bundle, settings)

    Application().run()


def _check(bundle: Path) -> None:
    """Let the bundle answer its own clip, once for all workers.

    In a process of its own: ONNX Runtime must not be loaded here, as its threads do not live on in forked workers. A
    check in each worker would be made once a worker, and gunicorn reports a worker that does not start as a crash.

    Raises:
        AutobirdError: the bundle cannot be read or does not give its expected answer on this machine.
    """
    Bundle.load(bundle)
    done = subprocess.run(
        [sys.executable, "-m", "autobird.predict.check", str(bundle)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        raise AutobirdError(
            said[-1].removeprefix("error: ")
            if said
            else f"{bundle} cannot be checked: the process ended with status {done.returncode}; "
            f"see `autobird bundle check {bundle}`"
        )
