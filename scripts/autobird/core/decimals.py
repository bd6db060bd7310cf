"""Rounded numbers in texts for people."""

from decimal import Decimal

_MOST = 15
"""Largest number of decimals: the precision of a float."""


def rounded_beside(value: float, limit: float, decimals: int) -> str:
    """Format a value with the fewest decimals, at least `decimals`, at which it is still on the same side of `limit`.

    For example, 0.499 beside 0.5 is `0.499` and not `0.50`, but 0.42 beside 0.5 is `0.42`.
    """
    while decimals < _MOST and value != limit:
        rounded = round(value, decimals)
        if rounded != limit and (rounded < limit) == (value < limit):
            break
        decimals += 1
    return f"{value:.{decimals}f}"


def three_digits(value: float) -> str:
    """Format a number with at most three significant digits and without an exponent: `1,130`, `521`, `12.3`, `0.8`, `0.00002`."""
    return f"{Decimal(f'{value:.3g}'):,f}"
