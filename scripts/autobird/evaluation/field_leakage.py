"""Stage `field_leakage`: find the field recordings that the model may have been trained on.

A field recording is excluded from the evaluation if the corpus, or the unlabelled recordings of a student, hold the same file, the
same decoded audio, or a near-duplicate of it. Recordings of a session that is also in the corpus are only reported.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.files import read_rows
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, read_text_csv, write_csv
from autobird.corpus.landmark_matching import match_recordings
from autobird.corpus.near_duplicates import load_landmarks, near_duplicates
from autobird.corpus.schemas import PAIRS
from autobird.dataset.groups import metadata_sessions
from autobird.dataset.recorders import COLUMNS, recorder_sessions
from autobird.evaluation.settings import FieldLeakageSettings

SAME_FILE, SAME_SOUND, NEAR_DUPLICATE, SAME_SESSION = "same file", "same audio", "near-duplicate", "same session"

EXCLUDED = (SAME_FILE, SAME_SOUND, NEAR_DUPLICATE)
"""Reasons for which a field recording is not evaluated."""

LEAKAGE = ["recording", "other", "reason", "votes"]
"""Columns of `leakage.csv`, one row per field recording and reason: an example of a recording of the corpus, and for near-duplicates
the number of aligned landmark matches."""

_COLUMNS = [*dict.fromkeys([*COLUMNS, "status", "file_sha256", "sound_sha256"])]


def same_content(field: pd.DataFrame, corpus: pd.DataFrame, column: str, reason: str) -> pd.DataFrame:
    """Return the field recordings whose value in a column is also in the corpus, as rows of `LEAKAGE`."""
    known = corpus[corpus[column] != ""].drop_duplicates(column).set_index(column)["recording"]
    other = field[column].map(known)
    found = other.notna() & (field[column] != "")
    rows = {"recording": field.loc[found, "recording"], "other": other[found], "reason": reason, "votes": 0}
    return pd.DataFrame(rows, columns=LEAKAGE)


def similar_audio(
    field: Sequence[tuple[Path, pd.DataFrame, Path]],
    corpus: Sequence[tuple[Path, pd.DataFrame, Path]],
    min_matches: int,
) -> pd.DataFrame:
    """Return the field recordings that are near-duplicates of recordings of the corpus, as rows of `LEAKAGE`.

    Args:
        field: landmarks, table of recordings and its file of each batch of field recordings.
        corpus: the same of the corpus.
        min_matches: minimum number of aligned landmark matches.
    """
    rows: list[list[object]] = []
    progress, done = Progress("field_leakage", len(field) * len(corpus), "pairs of batches"), 0
    for batch in field:
        landmarks = load_landmarks(*batch)
        for other in corpus:
            for pair in match_recordings(landmarks, load_landmarks(*other), min_matches):
                names = batch[1]["recording"].iloc[pair.first], other[1]["recording"].iloc[pair.second]
                rows.append([*names, NEAR_DUPLICATE, pair.matches])
            done += 1
            progress(done)
    table = pd.DataFrame(rows, columns=LEAKAGE).sort_values(
        ["recording", "votes", "other"], ascending=[True, False, True]
    )
    return table.drop_duplicates("recording")


def same_session(
    field: pd.DataFrame,
    field_grouping: pd.DataFrame,
    corpus: pd.DataFrame,
    grouping: pd.DataFrame,
    negative_names: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Return the field recordings of a session that is also in the corpus, as rows of `LEAKAGE`.

    A session is recordist, day and place of the metadata, or recorder and night of file names and headers, as in the split.
    """
    tables, groupings = [], []
    for prefix, table, metadata in (("field\n", field, field_grouping), ("corpus\n", corpus, grouping)):
        location = table["location"].where(table["location"] != "", table["recording"])
        tables.append(table.assign(location=location, name=table["recording"], recording=prefix + table["recording"]))
        groupings.append(metadata.assign(recording=prefix + metadata["recording"]))
    both = pd.concat(tables, ignore_index=True)
    is_field = both["recording"].str.startswith("field\n").to_numpy()
    by_metadata = metadata_sessions(both["recording"], pd.concat(groupings, ignore_index=True))["session"].to_numpy()
    recorders = recorder_sessions(both, pd.concat(groupings, ignore_index=True), negative_names)
    by_recorder = recorders["session"].to_numpy()
    rows = []
    for session, known in ((by_metadata, by_metadata >= 0), (by_recorder, by_recorder != "")):
        table = both.assign(session=session)
        examples = table[~is_field & known].drop_duplicates("session").set_index("session")["name"]
        other = table["session"].map(examples)
        shared = is_field & known & other.notna().to_numpy()
        rows.append(
            pd.DataFrame(
                {"recording": both.loc[shared, "name"], "other": other[shared], "reason": SAME_SESSION, "votes": 0}
            )
        )
    return pd.concat(rows, ignore_index=True).drop_duplicates("recording")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    for name in ("field-recordings", "field-landmarks", "recordings", "landmarks"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True)
    p.add_argument("--field-grouping", type=Path, required=True)
    p.add_argument("--grouping", type=Path, required=True)
    p.add_argument("--unlabelled", type=Path, nargs="*", default=[], help="manifests of the unlabelled recordings")
    p.add_argument("--output", type=Path, required=True)
    p.add_argument("--pairs", type=Path, required=True, help="near-duplicates among the field recordings")
    args = p.parse_args(argv)
    settings = settings_of(FieldLeakageSettings, args.settings)
    with stage("field_leakage", args, [args.output, args.pairs]):
        field_batches = [read_table(path, _COLUMNS) for path in args.field_recordings]
        batches = [read_table(path, _COLUMNS) for path in args.recordings]
        field, corpus = (pd.concat(tables, ignore_index=True) for tables in (field_batches, batches))
        unlabelled = pd.DataFrame(
            [r for path in args.unlabelled for r in read_rows(path)], columns=["recording", "sha256"]
        )
        unlabelled = unlabelled.rename(columns={"sha256": "file_sha256"})
        votes = settings.near_duplicate_votes
        similar = similar_audio(
            list(zip(args.field_landmarks, field_batches, args.field_recordings, strict=True)),
            list(zip(args.landmarks, batches, args.recordings, strict=True)),
            votes,
        )
        found = [
            same_content(
                field, pd.concat([corpus, unlabelled], ignore_index=True).fillna(""), "file_sha256", SAME_FILE
            ),
            same_content(field, corpus, "sound_sha256", SAME_SOUND),
            similar,
            same_session(
                field,
                read_text_csv(args.field_grouping),
                corpus,
                read_text_csv(args.grouping),
                settings.negative_names,
            ),
        ]
        table = pd.concat([t for t in found if len(t)] or [found[0]], ignore_index=True)
        write_csv(args.output, table.sort_values(["recording", "reason"]).drop_duplicates(["recording", "reason"]))
        pairs = near_duplicates(field_batches, args.field_landmarks, args.field_recordings, votes)
        write_csv(args.pairs, pairs if len(pairs) else pd.DataFrame(columns=PAIRS))
        excluded = table[table["reason"].isin(EXCLUDED)]["recording"].nunique()
        log.info("%d of %d field recordings are in the corpus and are excluded", excluded, len(field))


if __name__ == "__main__":
    run(main)
