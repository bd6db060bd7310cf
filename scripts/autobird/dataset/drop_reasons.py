"""Reasons for which windows are dropped, as far as other layers tell them apart."""

TOO_QUIET = "RMS below"
"""Start of the reason of windows whose RMS level is too low."""

BETWEEN = "reviewed, and in one session or the same audio with recordings of several splits"
"""Reason of windows that cannot be in any split, as similar ones are in another."""
