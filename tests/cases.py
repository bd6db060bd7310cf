"""Run the generators of small inputs that went wrong (../shared/cases), where they are available."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CASES = ROOT.parent / "shared" / "cases"


def write_case(name: str, folder: Path) -> Path:
    """Write the input of a case to a folder and return it; skip the test where the generators or the names are impossible."""
    script = CASES / f"{name}.py"
    if not script.is_file():
        pytest.skip(f"the project's cases are not at {CASES}")
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, str(script), str(folder)], cwd=CASES, env=environment, capture_output=True)
    if done.returncode and b"OSError" in done.stderr:
        pytest.skip("this file system refuses links, or names that are not UTF-8")
    assert done.returncode == 0, done.stderr
    return folder
