"""torchaudio's spectrogram masks, importable beside a CPU-only torch.

The registry's torchaudio is linked to CUDA: beside a CPU torch its C++ extension does not load, and it
then refuses to be imported. The masks are plain Python, so the extension is replaced by one that is not there.
"""

import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import torch


def _absent(function: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError(
            f"{function.__name__} needs torchaudio's C++ extension, which this CPU-only torch cannot load"
        )

    return refuse


def _stand_in() -> types.ModuleType:
    module = types.ModuleType("torchaudio._extension")
    vars(module).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        fail_if_no_align=_absent,
        _check_cuda_version=lambda: None,
    )
    return module


if torch.version.cuda is None and "torchaudio" not in sys.modules and importlib.util.find_spec("torchaudio"):
    sys.modules["torchaudio._extension"] = _stand_in()

import torchaudio.functional as functional  # noqa: E402

__all__ = ["functional"]
