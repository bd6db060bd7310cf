"""The time that a compute process may take for a recording."""

from autobird.serving.compute.requests import Priority, ServedBundle, TaskOptions
from autobird.serving.compute.windows import backbone_windows

_LEAST_TIME_LIMIT, _MAX_TIME_LIMIT = 120.0, 86_400.0
"""Limits of the time for one recording, seconds."""

_TIME_PER_SECOND = 0.02
"""Seconds of computing for each second of audio, several times what a slow core takes."""

_TIME_PER_BACKBONE_WINDOW = 0.3
"""Additional seconds for each window that the backbone computes. BirdNET takes 0.035 to 0.075 on a core of 2020; a slow core that all
processes share takes several times as long."""

_BACKGROUND_SHARE = 11
"""Recordings of jobs wait for those of users; one of 11 windows is theirs while users wait (`fair_queue.TURNS`)."""


def time_limit(
    bundle: ServedBundle, options: TaskOptions, priority: Priority = "interactive", sharing: float = 1.0
) -> float:
    """Return the time that a process may take for a recording, seconds: several times what it takes on a slow, busy core.

    With a backbone it grows with the number of windows.

    Args:
        bundle: the bundle.
        options: of the task; its longest recording and its overlap count, as its own length is not known yet.
        priority: of the task.
        sharing: number of recordings that share a thread of the embedding process at most.
    """
    if options.max_seconds is None:
        return _MAX_TIME_LIMIT
    limit = _LEAST_TIME_LIMIT + options.max_seconds * _TIME_PER_SECOND
    windows = backbone_windows(bundle, options.max_seconds, options.overlap)
    share = max(1.0, sharing) * (1 if priority == "interactive" else _BACKGROUND_SHARE)
    return float(min(limit + windows * _TIME_PER_BACKBONE_WINDOW * share, _MAX_TIME_LIMIT))
