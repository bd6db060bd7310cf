"""Architectures, data set, augmentation, training, scoring. The only area that imports torch."""

from autobird.core.environment import spin_briefly

spin_briefly()  # before any module here imports torch
