"""From a trained model to a released one: export, prune, quantize, compare, bundle."""

from autobird.core.environment import limit_openmp_spinning

limit_openmp_spinning()  # before any module here imports torch
