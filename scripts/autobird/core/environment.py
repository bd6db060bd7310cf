"""The environment in which the workflow's jobs run."""

import os
import sys
from pathlib import Path

_SPIN_COUNT = "3000"
"""How often an OpenMP thread that waits looks before it sleeps; libgomp's own default is 100 times as often. The value that loses
least of those measured alone and beside busy processes (docs/threads.md)."""


def spin_briefly() -> None:
    """Let OpenMP threads that wait for each other sleep soon, unless the user set one of OpenMP's own variables.

    Threads that wait in a loop take the processor from the thread that they wait for where other processes use the same cores;
    threads that sleep at once wake late (docs/threads.md). libgomp reads the variable when torch is imported, so this comes before.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)


def prefer(scripts: Path) -> None:
    """Let jobs find this interpreter, though its environment may not be activated, and the package in `scripts`.

    An image or a conda environment that runs a job puts its own interpreter first again.
    """
    for name, value in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", scripts)):
        os.environ[name] = os.pathsep.join(filter(None, [str(value), os.environ.get(name)]))
    spin_briefly()
    # numpy and scipy start a thread for each core when they are imported, though a stage uses one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
