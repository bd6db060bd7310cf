"""Export, pruning, quantization and comparison of the trained network, and the bundle that is released."""

from autobird.core.environment import spin_briefly

spin_briefly()  # before any module here imports torch
