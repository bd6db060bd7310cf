"""The environment in which the workflow's jobs run."""

import os
import sys
from pathlib import Path


def prefer(scripts: Path) -> None:
    """Let jobs find this interpreter, though its environment may not be activated, and the package in `scripts`.

    An image or a conda environment that runs a job puts its own interpreter first again.
    """
    for name, value in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", scripts)):
        os.environ[name] = os.pathsep.join(filter(None, [str(value), os.environ.get(name)]))
    # numpy and scipy start a thread for each core when they are imported, though a stage uses one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
