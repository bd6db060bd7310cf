"""Which recordings are used: the usable ones that nothing forbids, of each sound just one, and none with two labels."""

import pandas as pd

from autobird.corpus.policy import HASH


def reasons(recordings: pd.DataFrame, verdicts: pd.DataFrame, pairs: pd.DataFrame) -> "pd.Series[str]":
    """Why each recording is quarantined, "" if it is not; indexed by recording, sorted.

    Of recordings with the same decoded sound and label the first by name is used. Where labels of one sound differ,
    be it the same to the bit or found by its landmarks, nobody can tell which is right, and none is.

    Args:
        recordings: the tables of all batches (`RECORDINGS`).
        verdicts: recording (or `sha256:` of a file or sound) and reason.
        pairs: near-duplicates (`PAIRS`).
    """
    table = recordings.sort_values("recording").set_index("recording")
    reason = table["reason"].where(table["status"] != "ok", "")
    forbidden = verdicts.set_index("recording")["reason"]
    for known in (table.index, HASH + table["file_sha256"], HASH + table["sound_sha256"]):
        said = pd.Series(known, table.index).map(forbidden)
        reason = reason.where((reason != "") | said.isna(), said)
    _exact(table[reason == ""], reason)
    _near(table[reason == ""], pairs, reason)
    return reason


def _exact(usable: pd.DataFrame, reason: "pd.Series[str]") -> None:
    """Quarantine all but one of recordings with the same decoded sound."""
    repeated = usable[usable["sound_sha256"].duplicated(keep=False)]
    for _, same in repeated.groupby("sound_sha256", sort=True):
        first = same.index[0]
        if same["species"].nunique() == 1:
            reason[same.index[1:]] = f"the same sound as {first}, which is used"
            continue
        for name in same.index:
            other = next(n for n in same.index if same.at[n, "species"] != same.at[name, "species"])
            reason[name] = f"the same sound as {other} under another species; remove the wrong one"


def _near(usable: pd.DataFrame, pairs: pd.DataFrame, reason: "pd.Series[str]") -> None:
    """Quarantine both of two recordings of one sound under two labels."""
    species = usable["species"]
    a, b = pairs["recording"].map(species), pairs["other"].map(species)
    for pair in pairs[a.notna() & b.notna() & (a != b)].itertuples():
        for name, other in ((pair.recording, pair.other), (pair.other, pair.recording)):
            if not reason[name]:
                reason[name] = (
                    f"nearly the same sound as {other} under another species; listen, and remove or relabel the wrong one"
                )
