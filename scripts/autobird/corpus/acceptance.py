"""Which recordings are used: the usable ones, and of each sound just one."""

import pandas as pd


def reasons(recordings: pd.DataFrame) -> "pd.Series[str]":
    """Why each recording is quarantined, "" if it is not; indexed by recording.

    Of recordings with the same decoded sound and label the first by name is used; where the labels differ, nobody
    can tell which is right, and none is.

    Args:
        recordings: the tables of all batches (`RECORDINGS`).
    """
    table = recordings.sort_values("recording").set_index("recording")
    reason = table["reason"].where(table["status"] != "ok", "")
    usable = table[table["status"] == "ok"]
    for _, same in usable.groupby("sound_sha256", sort=True):
        if len(same) == 1:
            continue
        first = same.index[0]
        if same["species"].nunique() == 1:
            reason[same.index[1:]] = f"the same sound as {first}, which is used"
            continue
        for name in same.index:
            other = next(n for n in same.index if same.at[n, "species"] != same.at[name, "species"])
            reason[name] = f"the same sound as {other} under another species; remove the wrong one"
    return reason
