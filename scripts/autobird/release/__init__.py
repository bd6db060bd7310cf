"""From a trained model to a released one: export, prune, quantize, compare, bundle."""

from autobird.core.environment import wait_asleep

wait_asleep()  # before any module here imports torch
