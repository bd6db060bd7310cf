"""The accessibility checker axe-core, fetched once into the user's cache; it is not part of the project."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_PACKAGE = "axe-core@4.10.3"


def axe_source() -> str:
    """Return the script; skip the test if it is not in the cache and cannot be fetched.

    `AUTOBIRD_AXE` names the file `axe.min.js` in place of the cache.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "autobird" / _PACKAGE
    script = Path(os.environ.get("AUTOBIRD_AXE", cache / "package" / "axe.min.js"))
    if not script.is_file():
        _fetch(cache)
    if not script.is_file():
        pytest.skip(f"{_PACKAGE} is not in {cache}, and npm cannot fetch it")
    return script.read_text(encoding="utf-8")


def _fetch(cache: Path) -> None:
    npm = shutil.which("npm")
    if not npm:
        return
    cache.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [npm, "pack", "--silent", "--json", _PACKAGE],
            cwd=cache,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 0:
            archive = cache / json.loads(done.stdout)[0]["filename"]
            shutil.unpack_archive(archive, cache, filter="data")
            archive.unlink()
    except (subprocess.TimeoutExpired, ValueError, KeyError, OSError):
        return
