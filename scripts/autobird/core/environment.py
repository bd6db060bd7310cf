"""The environment in which the workflow's jobs run."""

import os
import sys
from pathlib import Path


def wait_asleep() -> None:
    """Let OpenMP threads that wait for each other sleep at once, unless the user set one of OpenMP's own variables.

    Threads that wait in a loop, as is libgomp's default, take the processor from the thread that they wait for where other
    processes use the same cores (docs/threads.md). libgomp reads the variable when torch is imported, so this comes before.
    """
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def prefer(scripts: Path) -> None:
    """Let jobs find this interpreter, though its environment may not be activated, and the package in `scripts`.

    An image or a conda environment that runs a job puts its own interpreter first again.
    """
    for name, value in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", scripts)):
        os.environ[name] = os.pathsep.join(filter(None, [str(value), os.environ.get(name)]))
    wait_asleep()
    # numpy and scipy start a thread for each core when they are imported, though a stage uses one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
