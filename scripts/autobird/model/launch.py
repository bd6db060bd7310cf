"""Start the processes of a distributed training with torchrun, here or on all nodes of a Slurm job, and report their errors once."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from threadpoolctl import threadpool_limits

from autobird.core.errors import AutobirdError
from autobird.core.stage import log
from autobird.model.distributed import ProcessLost, is_started_by_torchrun
from autobird.model.settings import TrainSettings

_NODE_VARIABLE = "AUTOBIRD_TRAINING_ADDRESS"
"""Environment variable of the launchers on the nodes of a Slurm job: host and port where the processes of the training meet."""

_STOP_TIMEOUT = 60
"""Seconds that processes have to save a checkpoint and end when the training stops; then they are killed."""

_MEETING_TIMEOUT = 900
"""Seconds within which the launchers of all nodes must start."""

_LOST = 75
"""Exit status of a launcher whose processes ended because one on another node did (EX_TEMPFAIL of sysexits.h)."""


def is_launcher(settings: TrainSettings) -> bool:
    """Return whether this process must start those of a distributed training, and is not one of them."""
    return settings.devices * settings.nodes > 1 and not is_started_by_torchrun()


def launch(module: str, arguments: Sequence[str], settings: TrainSettings, log_file: Path | None) -> None:
    """Run a stage in `settings.devices` processes on each of `settings.nodes` machines.

    Args:
        module: the stage; its `main` is run by all processes, with `errors_reported`.
        arguments: its arguments.
        settings: number of machines, and of processes on each.
        log_file: log of the stage, which gets the error of a process other than the first.

    Raises:
        AutobirdError: a process has failed, with its message.
        SystemExit: the training was stopped by a signal; the status is 128 and the number of the signal.
    """
    address = os.environ.get(_NODE_VARIABLE)
    if settings.nodes > 1 and not address:
        _launch_on_nodes(module, arguments, settings)
    else:
        _launch_here(module, arguments, settings, address, log_file)


def _launch_here(
    module: str, arguments: Sequence[str], settings: TrainSettings, address: str | None, log_file: Path | None
) -> None:
    """Run the processes of this machine, with the launcher of torchrun.

    Args:
        address: where the processes of all machines meet; None: there are no others.
    """
    # Imported here: single processes do not need it.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What goes wrong is reported by this module, once.
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    meeting = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "rdzv_configs": {}}
    if address:
        node = {"rank": int(os.environ["SLURM_NODEID"]), "timeout": _MEETING_TIMEOUT}
        meeting = {"rdzv_backend": "static", "rdzv_endpoint": address, "rdzv_configs": node}
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=settings.nodes,
            max_nodes=settings.nodes,
            nproc_per_node=settings.devices,
            run_id=f"autobird-{os.environ.get('SLURM_JOB_ID', os.getpid())}",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            local_addr=None if address else "localhost",
            shutdown_timeout=_STOP_TIMEOUT,
            **meeting,  # type: ignore[arg-type]
        )
        try:
            elastic_launch(config, sys.executable)("-m", module, *arguments)
        except SignalException as error:
            sys.exit(128 + error.sigval)
        except ChildFailedError as error:
            _raise_first_error(
                {rank: (found.exitcode, Path(found.error_file)) for rank, found in error.failures.items()}, log_file
            )


def _raise_first_error(failures: Mapping[int, tuple[int, Path]], log_file: Path | None) -> NoReturn:
    """Report the error that ended the training, not those of the processes that ended because of it.

    Args:
        failures: exit status (negative: signal) and error file of each process that has failed.
        log_file: log of the stage.
    """
    if any(status == 128 + signal.SIGTERM for status, _ in failures.values()):
        sys.exit(128 + signal.SIGTERM)
    errors = {rank: _recorded(file) for rank, (_, file) in failures.items()}
    for found in errors.values():
        if found and found[0] not in (ProcessLost.__name__, KeyboardInterrupt.__name__):
            kind, text, trace = found
            if kind == AutobirdError.__name__:
                _append(log_file, f"error: {text}")
                raise AutobirdError(text)
            _append(log_file, trace)
            print(trace, file=sys.stderr)
            sys.exit(1)
    for rank, (status, _) in failures.items():
        if not errors[rank]:
            cause = f"signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"exit status {status}"
            text = (
                f"process {rank} of the training ended with {cause}; if nobody stopped it, the memory may be too small; run the same "
                "command again to resume from the last checkpoint"
            )
            _append(log_file, f"error: {text}")
            raise AutobirdError(text)
    sys.exit(_LOST)


def _recorded(file: Path) -> tuple[str, str, str] | None:
    """Return the kind, text and traceback of the error that a process has recorded; None if it has recorded none."""
    if not file.is_file():
        return None
    message = json.loads(file.read_text(encoding="utf-8"))["message"]
    kind, _, text = message["message"].partition(": ")
    return kind, text, message["extraInfo"]["py_callstack"]


def _append(log_file: Path | None, text: str) -> None:
    """Append an error to the log, unless the first process has written it there."""
    if not log_file:
        return
    logged = log_file.read_text(encoding="utf-8", errors="replace") if log_file.exists() else ""
    if text.removeprefix("error: ").strip() not in logged:
        with log_file.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


@contextmanager
def errors_reported() -> Iterator[None]:
    """Leave the errors of a process that torchrun has started to its launcher (`_raise_first_error`); of others, do nothing."""
    if not is_started_by_torchrun():
        yield
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    status = 1
    try:
        yield
        return
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except (Exception, KeyboardInterrupt) as error:
        get_error_handler().record_exception(error)
    # Without the clean-up of the interpreter, which could wait for processes that have ended.
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def without_log() -> Iterator[None]:
    """Run the stage in a process other than the first: without log, locks and progress; otherwise like `core.stage.stage`."""
    handler = logging.NullHandler()
    log.addHandler(handler)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        log.removeHandler(handler)


def _launch_on_nodes(module: str, arguments: Sequence[str], settings: TrainSettings) -> None:
    """Start a launcher on each node of the Slurm job, of which this is the first node."""
    if "SLURM_JOB_ID" not in os.environ:
        raise AutobirdError(
            f"train.nodes is {settings.nodes}, but this is not a job of Slurm; run with --profile slurm, or set train.nodes to 1"
        )
    threads = settings.devices * settings.threads
    command = ["srun", f"--nodes={settings.nodes}", f"--ntasks={settings.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={threads}",
               "--kill-on-bad-exit=1", sys.executable, "-m", module, *arguments]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | {_NODE_VARIABLE: f"{socket.gethostname()}:{_free_port()}"})
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: process.send_signal(received))
    status = process.wait()
    if status == 1:
        sys.exit(1)  # a launcher has printed the error
    if status in (128 + signal.SIGTERM, -signal.SIGTERM):
        sys.exit(128 + signal.SIGTERM)
    if status:
        raise AutobirdError(
            f"srun ended with status {status}: the training has lost a node, or a process on it; run the same command again to resume from "
            "the last checkpoint"
        )


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("", 0))
        return int(s.getsockname()[1])
