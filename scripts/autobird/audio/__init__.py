"""Decode, resample, windows, log-mel, and the files that hold them. No torch."""
