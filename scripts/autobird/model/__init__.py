"""Architectures, data set, augmentation, training. Only this area and the release import torch."""

from autobird.core.environment import spin_briefly

spin_briefly()  # before any module here imports torch
