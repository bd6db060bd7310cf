"""Where to compute and in which number format."""

import contextlib
import ctypes
import os
from dataclasses import dataclass

import torch

from autobird.core.errors import AutobirdError
from autobird.model.settings import TrainSettings


@dataclass(frozen=True)
class Compute:
    """A device and the format of its matrix work."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context of a forward pass."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def choose(settings: TrainSettings) -> Compute:
    """The device and format that `settings` ask for, or the best there is (`auto`).

    Raises:
        AutobirdError: a GPU is asked for and there is none.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise AutobirdError("train.device is cuda, but torch sees no GPU; set train.device to auto or cpu")
    cuda = settings.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    if settings.precision != "auto":
        return Compute(device, getattr(torch, settings.precision))
    if cuda:
        return Compute(device, torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16)
    # mkldnn answers for the instructions (AVX-512 BF16, AMX), not for slow emulation.
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    native = available and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return Compute(device, torch.bfloat16 if native else torch.float32)


_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""Parameters of glibc's mallopt (malloc.h)."""


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next ones: pages that come anew from the system cost time.

    Nothing happens with another C library, or where the user set one of its variables (MALLOC_TRIM_THRESHOLD_ and the like).
    """
    if any(name.startswith("MALLOC_") and name.endswith("_") for name in os.environ if name != "MALLOC_CHECK_"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for parameter, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 256 << 20), (_TOP_PAD, 16 << 20)):
        mallopt(parameter, value)


def deterministic(threads: int) -> None:
    """Make torch repeatable to the bit on one CPU type: fixed threads, deterministic algorithms."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # numbers below 1e-38 are zero: arithmetic with them is slow
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Deterministic algorithms also fill every new tensor with NaN, a twelfth of a step; nothing here reads one unwritten.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = True
