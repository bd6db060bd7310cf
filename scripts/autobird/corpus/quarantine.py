"""Stage `quarantine`: list the recordings that are not used, each with the reason."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_tables, read_text_csv, write_csv
from autobird.sources.base import ANNOTATED, NEGATIVE, REVIEWED, SHA256_PREFIX

QUARANTINE = ["recording", "species", "reason"]
"""Columns of `quarantine.csv`."""


def quarantine_reasons(
    recordings: pd.DataFrame, exclusions: pd.DataFrame, pairs: pd.DataFrame, kinds: pd.DataFrame | None = None
) -> "pd.Series[str]":
    """Return the reason why each recording is quarantined ("" for a recording in use), indexed by recording, sorted.

    Of several recordings with the same decoded audio and the same label, the first by name is used. If recordings of the same
    audio (identical samples, or near-duplicates) have different labels, which are a species or no species (a negative), it is unknown
    which one is right, and all of them are quarantined. An annotated recording is used instead of its exact copies of other
    kinds, because its boxes say more, and it contradicts no label.

    Args:
        recordings: the tables of all batches (`RECORDINGS`).
        exclusions: columns recording (an id, or `sha256:` and the checksum of a file or of decoded audio) and reason.
        pairs: near-duplicates (`PAIRS`).
        kinds: columns recording, kind, of the recordings that are not focal; None if all are.
    """
    table = recordings.sort_values("recording").set_index("recording")
    kind_of = {} if kinds is None else dict(zip(kinds["recording"], kinds["kind"], strict=True))
    table["kind"] = table.index.map(lambda name: kind_of.get(name, ""))
    reasons = table["reason"].where(table["status"] != "ok", "")
    excluded = exclusions.set_index("recording")["reason"]
    for identifiers in (table.index, SHA256_PREFIX + table["file_sha256"], SHA256_PREFIX + table["sound_sha256"]):
        exclusion_reasons = pd.Series(identifiers, table.index).map(excluded)
        reasons = reasons.where((reasons != "") | exclusion_reasons.isna(), exclusion_reasons)
    _add_exact_duplicates(table[reasons == ""], reasons)
    _add_near_duplicates(table[reasons == ""], pairs, reasons)
    return reasons


def _add_exact_duplicates(usable: pd.DataFrame, reasons: "pd.Series[str]") -> None:
    """Add the reasons of recordings whose decoded audio equals that of another one, in place."""
    duplicates = usable[usable["sound_sha256"].duplicated(keep=False)]
    for _, group in duplicates.groupby("sound_sha256", sort=True):
        # A few reviewed windows say less than a label of the whole recording; of reviewed copies alone the first one is used.
        copies = group[group["kind"] != REVIEWED] if (group["kind"] != REVIEWED).any() else group.iloc[:1]
        for name in group.index.drop(copies.index):
            reasons[name] = f"the same audio as {copies.index[0]}, which is used"
        if len(copies) == 1:
            continue
        annotated = copies.index[copies["kind"] == ANNOTATED]
        if len(annotated) or copies["species"].nunique() == 1:
            first = annotated[0] if len(annotated) else copies.index[0]
            reasons[copies.index.drop(first)] = f"the same audio as {first}, which is used"
            continue
        for name in copies.index:
            other = next(n for n in copies.index if copies.at[n, "species"] != copies.at[name, "species"])
            difference = _difference(copies.loc[name], copies.loc[other])
            reasons[name] = f"the same audio as {other}, which {difference}; remove the wrong one"


def _add_near_duplicates(usable: pd.DataFrame, pairs: pd.DataFrame, reasons: "pd.Series[str]") -> None:
    """Add the reasons of near-duplicates with different labels, in place."""
    labelled = usable[~usable["kind"].isin([ANNOTATED, REVIEWED])]
    species = labelled["species"]
    first_species, second_species = pairs["recording"].map(species), pairs["other"].map(species)
    conflicting = first_species.notna() & second_species.notna() & (first_species != second_species)
    for pair in pairs[conflicting].itertuples():
        for name, other in ((pair.recording, pair.other), (pair.other, pair.recording)):
            if not reasons[name]:
                difference = _difference(labelled.loc[name], labelled.loc[other])
                reasons[name] = (
                    f"near-duplicate of {other}, which {difference}; listen to both, and remove or relabel the wrong one"
                )


def _difference(recording: "pd.Series[str]", other: "pd.Series[str]") -> str:
    """Return how the label of another recording of the same audio differs, as the end of a sentence about it."""
    if recording["kind"] == NEGATIVE:
        return f"has the species {other['species']}, while a negative holds none"
    return "is a negative and holds no species" if other["kind"] == NEGATIVE else "has another species"


def quarantine(
    recordings: pd.DataFrame, exclusions: pd.DataFrame, pairs: pd.DataFrame, kinds: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the rows of `quarantine.csv`, sorted by recording. The arguments are those of `quarantine_reasons`."""
    reasons = quarantine_reasons(recordings, exclusions, pairs, kinds)
    table = recordings.sort_values("recording")
    table["reason"] = table["recording"].map(reasons)
    return table.loc[table["reason"] != "", QUARANTINE]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--exclusions", type=Path, required=True)
    p.add_argument("--near-duplicates", type=Path, required=True)
    p.add_argument("--kinds", type=Path, required=True, help="table of the recordings that are not focal")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("quarantine", args, [args.output]):
        recordings = read_tables(
            args.recordings, ["recording", "species", "file_sha256", "sound_sha256", "status", "reason"]
        )
        exclusions, pairs, kinds = map(read_text_csv, (args.exclusions, args.near_duplicates, args.kinds))
        table = quarantine(recordings, exclusions, pairs, kinds)
        write_csv(args.output, table)
        log.info("%d of %d recordings are quarantined", len(table), len(recordings))


if __name__ == "__main__":
    run(main)
