"""Quantiles of the distributions behind intervals: those of `scipy.stats`, equal to the bit, without its import, which takes half a second.

All stages that compute an interval would spend that at their start. A quantile p is meant for 0 < p < 1.
"""

from scipy.special import betaincinv, gammaincinv, ndtri, stdtr, stdtrit


def student(p: float, degrees_of_freedom: float) -> float:
    """Return the quantile p of Student's t; NaN if the degrees of freedom are not positive."""
    return float(stdtrit(degrees_of_freedom, p))


def student_tail(value: float, degrees_of_freedom: float) -> float:
    """Return the probability that Student's t exceeds a value."""
    return float(stdtr(degrees_of_freedom, -value))


def normal(p: float) -> float:
    """Return the quantile p of the standard normal distribution."""
    return float(ndtri(p))


def beta(p: float, a: float, b: float) -> float:
    """Return the quantile p of the beta distribution with the shape parameters a and b."""
    return float(betaincinv(a, b, p))


def gamma(p: float, shape: float) -> float:
    """Return the quantile p of the gamma distribution with a shape and the scale 1."""
    return float(gammaincinv(shape, p))
