"""Data set, augmentation, networks and training. Only this package and `autobird.release` import torch."""

from autobird.core.environment import spin_briefly

spin_briefly()  # OpenMP reads its variables when torch is imported, so this comes before the modules of this package
