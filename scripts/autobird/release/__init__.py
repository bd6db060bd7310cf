"""From a trained model to a released one: export, prune, quantize, compare, bundle."""

from autobird.core.environment import spin_briefly

spin_briefly()  # before any module here imports torch
