"""Export, pruning, quantization and comparison of the trained network, and the bundle that is released."""

from autobird.core.environment import limit_openmp_spinning

limit_openmp_spinning()  # before any module here imports torch
