"""Checks of a backbone's file and of the packages that run it; each failure is one line with the remedy."""

import hashlib
import platform
import sys
from pathlib import Path
from typing import Any

from autobird.backbone.birdnet_files import file_error
from autobird.core.errors import AutobirdError

LITERT = f'"{sys.executable}" -m pip install "ai-edge-litert>=2"'
"""Command that installs the package that runs TFLite files."""

_PLATFORMS = {
    ("linux", "x86_64"), ("linux", "aarch64"), ("win32", "amd64"), ("darwin", "arm64"),
}  # fmt: skip
"""System and processor for which `ai-edge-litert` is published."""


def read_checked(file: Path, expected: str | None, name: str, given: str | None) -> tuple[bytes, str]:
    """Return the content and the sha256 of a backbone's file.

    Args:
        file: the file.
        expected: its sha256; None: any.
        name: of the backbone.
        given: the path that the user gave; None: the file was found where it is installed.

    Raises:
        AutobirdError: the file cannot be read, or has another sha256.
    """
    try:
        data = file.read_bytes()
    except OSError:
        raise file_error(name, given, file, expected, None) from None
    digest = hashlib.sha256(data).hexdigest()
    if expected is not None and digest != expected:
        raise file_error(name, given, file, expected, digest)
    return data, digest


def litert_interpreter() -> Any:
    """Return the module `ai_edge_litert.interpreter`.

    Raises:
        AutobirdError: the package is not installed, or not published for this system.
    """
    try:
        from ai_edge_litert import interpreter  # imported late: only TFLite files need the package
    except ImportError as error:
        system, machine = sys.platform, platform.machine()
        if (system, machine.lower()) not in _PLATFORMS:
            raise AutobirdError(
                f"TFLite files need the package ai-edge-litert, which is not published for this system ({system} {machine}), only "
                "for Linux x86-64 and arm64, Windows x86-64 and macOS arm64; use one of these, or an ONNX file"
            ) from None
        raise AutobirdError(
            f"TFLite files need the package ai-edge-litert, which cannot be imported ({error}); install it: {LITERT}"
        ) from None
    return interpreter
