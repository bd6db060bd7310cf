"""Metrics with confidence intervals, calibration and figures. Nothing in this package imports torch."""
