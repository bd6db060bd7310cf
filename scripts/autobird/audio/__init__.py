"""Decode, resample, cut into windows, compute mel spectrograms, and the files that hold them. No torch."""
