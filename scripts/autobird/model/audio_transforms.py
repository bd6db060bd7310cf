"""Import `torchaudio.functional` also where torch has no CUDA support.

The torchaudio package on PyPI is linked against CUDA. With a CPU-only torch its C++ extension cannot be loaded, and
importing torchaudio fails. The spectrogram masks that Autobird uses are plain Python, so a stub replaces the extension.
"""

import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import torch


def _unavailable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Replace a function of the C++ extension by one that raises RuntimeError."""

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError(
            f"{function.__name__} needs torchaudio's C++ extension, which this CPU-only torch cannot load"
        )

    return fail


def _extension_stub() -> types.ModuleType:
    """Return a module with the names that torchaudio imports from its extension, none of them available."""
    module = types.ModuleType("torchaudio._extension")
    vars(module).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        fail_if_no_align=_unavailable,
        _check_cuda_version=lambda: None,
    )
    return module


if torch.version.cuda is None and "torchaudio" not in sys.modules and importlib.util.find_spec("torchaudio"):
    sys.modules["torchaudio._extension"] = _extension_stub()

import torchaudio.functional as functional  # noqa: E402

__all__ = ["functional"]
