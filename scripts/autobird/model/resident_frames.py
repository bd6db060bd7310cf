"""The mel frames of windows in the memory of the device that trains."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class ResidentFrames(NamedTuple):
    """The mel frames of windows on a device.

    Attributes:
        frames: shape (frames, mels), float16.
        first: first frame of each window in them; shape (windows,).
    """

    frames: Tensor
    first: NDArray[np.int64]

    def read(self, first: Tensor, frames: int) -> Tensor:
        """Return windows of so many frames, in float32; shape (n, 1, mels, frames).

        Args:
            first: first frame of each window, on the device; shape (n,).
            frames: frames of a window.
        """
        rows = first[:, None] + torch.arange(frames, device=first.device)
        return self.frames[rows].float().transpose(1, 2).unsqueeze(1)
