"""Data set, augmentation, networks and training. Only this package and `autobird.release` import torch."""

from autobird.core.environment import limit_openmp_spinning

limit_openmp_spinning()  # OpenMP reads its variables when torch is imported, so this comes before the modules of this package
