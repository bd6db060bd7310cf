"""Device, number format and determinism of the calculations."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from autobird.core.errors import AutobirdError
from autobird.model.distributed import Processes, is_started_by_torchrun, local_rank
from autobird.model.settings import TrainSettings

_FORMATS = (torch.float32, torch.bfloat16, torch.float16)
"""The number formats of `train.precision`."""


@dataclass(frozen=True)
class Compute:
    """A device, and the number format of matrix products and convolutions on it.

    Attributes:
        device: CPU or GPU.
        dtype: number format. With a 16-bit format, training uses mixed precision: the weights stay float32.
    """

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context manager in which a forward pass runs in mixed precision."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @contextlib.contextmanager
    def deterministic_forward(self) -> Iterator[None]:
        """Run the forward pass of a training, whose backward pass then gives the same bytes each time.

        In mixed precision. On a GPU, attention is computed by matrix products: the backward pass of fused kernels adds in varying order.
        """
        with sdpa_kernel(SDPBackend.MATH) if self.device.type == "cuda" else contextlib.nullcontext(), self.autocast():
            yield


def select_precision(settings: TrainSettings) -> Compute:
    """Return the device and number format of `train.device` and `train.precision`; `auto` selects the faster ones.

    Of the processes that share a training, each has a GPU of its own.

    Raises:
        AutobirdError: `train.device` is `cuda`, but there is no GPU; or there are fewer GPUs than `train.devices`.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise AutobirdError("train.device is cuda, but torch finds no GPU; set train.device to auto or cpu")
    cuda = settings.device != "cpu" and torch.cuda.is_available()
    if cuda and local_rank() >= torch.cuda.device_count():
        raise AutobirdError(
            f"train.devices is {settings.devices}, but torch finds {torch.cuda.device_count()} GPUs; lower train.devices, or set "
            "train.device to cpu"
        )
    device = (
        torch.device(f"cuda:{local_rank()}" if is_started_by_torchrun() else "cuda") if cuda else torch.device("cpu")
    )
    if settings.precision != "auto":
        return Compute(device, getattr(torch, settings.precision))
    if cuda:
        return Compute(device, torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16)
    return Compute(device, torch.bfloat16 if has_fast_bfloat16() else torch.float32)


def has_fast_bfloat16() -> bool:
    """Return whether this CPU has AMX, with which training is faster in bfloat16 than in float32 (docs/training-speed.md).

    With the bfloat16 instructions of AVX-512 alone, the default network is slower in bfloat16; those of ARM were not measured.
    """
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    # False also where ONEDNN_MAX_CPU_ISA restricts oneDNN to AVX2.
    usable = available and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return bool(usable and torch.cpu.get_capabilities().get("amx_bf16"))


def check_same_precision(compute: Compute, processes: Processes) -> None:
    """Check that all processes that share a training compute in the same number format.

    With float16 the loss is scaled, so gradients of processes with and without it must not be added. Machines with different CPUs or GPUs
    can have different formats with `precision: auto`.

    Raises:
        AutobirdError: they do not.
    """
    own = torch.tensor(_FORMATS.index(compute.dtype), device=compute.device)
    found = sorted(set(processes.gather(own).tolist()))
    if len(found) > 1:
        names = " and ".join(str(_FORMATS[n]).removeprefix("torch.") for n in found)
        raise AutobirdError(
            f"the processes of the training compute in {names}, as their machines differ; set train.precision to float32, or use "
            "machines of one type"
        )


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Numbers of the parameters of glibc's mallopt (malloc.h)."""


def keep_freed_memory() -> None:
    """Make glibc keep the memory of freed tensors for new ones, because new pages from the system cost time.

    Does nothing with another C library, or if the user has set an environment variable of glibc's malloc
    (`MALLOC_TRIM_THRESHOLD_` and similar).
    """
    if any(name.startswith("MALLOC_") and name.endswith("_") for name in os.environ if name != "MALLOC_CHECK_"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    # No mappings of their own for large tensors: glibc returns a mapping to the system when it is freed. A threshold of the size would not
    # do, as glibc accepts none above 32 MB, and the first layer of `cnn_transformer` has tensors of 41 MB.
    for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 512 << 20), (_TOP_PAD, 16 << 20)):
        mallopt(parameter, value)


def make_deterministic(threads: int) -> None:
    """Configure torch so that results are identical to the bit on the same type of CPU.

    Args:
        threads: CPU threads; their number changes the order of sums, and so the last digits of the results.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # treat numbers below 1e-38 as zero: calculations with them are slow
    torch.use_deterministic_algorithms(True, warn_only=True)
    # In deterministic mode torch also fills each new tensor with NaN, which takes a twelfth of the time of a step. No code
    # here reads a tensor before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when a process first uses a GPU
    torch.backends.cuda.matmul.allow_tf32 = True
