"""Where to compute and in which number format."""

import contextlib
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


def deterministic(threads: int) -> None:
    """Make torch repeatable to the bit on one CPU type: fixed threads, deterministic algorithms."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = True
