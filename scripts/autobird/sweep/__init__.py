"""Sweeps: trainings with other settings, compared on validation recordings."""
