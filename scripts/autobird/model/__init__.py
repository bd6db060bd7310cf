"""Architectures, data set, augmentation, training, scoring. The only area that imports torch."""

from autobird.core.environment import wait_asleep

wait_asleep()  # before any module here imports torch
