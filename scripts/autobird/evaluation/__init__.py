"""Metrics with intervals, calibration, figures. No torch."""
