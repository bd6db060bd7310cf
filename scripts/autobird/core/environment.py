"""Set environment variables for the jobs of the workflow."""

import os
import sys
from pathlib import Path

_SPIN_COUNT = "3000"
"""How often a waiting OpenMP thread checks before it sleeps; libgomp's default is 100 times as often. Of the values measured,
this one costs the least speed both on an idle machine and beside busy processes (docs/threads.md)."""


def limit_openmp_spinning() -> None:
    """Set libgomp's spin count, unless the user set OMP_WAIT_POLICY or GOMP_SPINCOUNT; call it before torch is imported.

    Waiting threads that spin take processor time from the thread that they wait for, if other processes use the same
    cores. Threads that sleep at once wake up late (docs/threads.md). libgomp reads the variable when torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)


def use_this_interpreter(scripts: Path) -> None:
    """Make jobs run this Python interpreter and the package in `scripts`, also if its environment is not activated.

    A container image or a conda environment in which a job runs puts its own interpreter first again.
    """
    for name, value in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", scripts)):
        os.environ[name] = os.pathsep.join(filter(None, [str(value), os.environ.get(name)]))
    limit_openmp_spinning()
    # Otherwise numpy and scipy start a thread per core at import, although a stage uses one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
