"""Round numbers in messages that compare them with a limit, so that the rounded number does not contradict the message."""

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
