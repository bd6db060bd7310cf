"""Successive halving: which folds each rung of a sweep adds, and which trials reach the next rung."""

import math
from collections.abc import Sequence


def folds_of_rungs(folds: int, keep: float | None) -> list[list[int]]:
    """Return the folds on which the trials of each rung are compared, those of the rungs before included.

    The number of folds doubles from rung to rung, as in successive halving (Jamieson and Talwalkar 2016): with half of the trials kept,
    each rung costs about as much as the first one.

    Args:
        folds: number of folds.
        keep: share of the trials that reach the next rung; None: one rung with all folds.
    """
    if keep is None:
        return [list(range(folds))]
    counts = [1]
    while counts[-1] < folds:
        counts.append(min(folds, 2 * counts[-1]))
    return [list(range(count)) for count in counts]


def count_kept(others: int, keep: float) -> int:
    """Return how many of the trials other than that with the settings of the run reach the next rung."""
    # 0.3 * 10 is 3.0000000000000004 in some orders of the product: not four.
    return math.ceil(round(keep * others, 9))


def survivors(ranking: Sequence[str], defaults: str, keep: float) -> list[str]:
    """Return the trials that reach the next rung: the best ones, and always the one with the settings of the run.

    The others are compared with it, so it does not count among those that are kept.

    Args:
        ranking: ids of the trials, the best first.
        defaults: id of the trial with the settings of the run, one of `ranking`.
        keep: share of the other trials that are kept, rounded up.
    """
    others = [name for name in ranking if name != defaults]
    kept = set(others[: count_kept(len(others), keep)])
    return [name for name in ranking if name == defaults or name in kept]
