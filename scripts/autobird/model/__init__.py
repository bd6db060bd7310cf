"""Architectures, data set, augmentation, training. Only this area and the release import torch."""

from autobird.core.environment import limit_openmp_spinning

limit_openmp_spinning()  # before any module here imports torch
