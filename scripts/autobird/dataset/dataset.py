"""Stage `dataset`: write the index of windows, its normalisation and counts, and the leakage between splits."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.files import write_json
from autobird.core.stage import log, parser, print_line, run, settings_of, stage
from autobird.core.store import Store, open_store
from autobird.core.tables import read_tables, write_chunks
from autobird.core.wording import left_out_sentence
from autobird.dataset.counts import AFTER_END, NO_WINDOW, box_problems, count_dataset, overridden_splits
from autobird.dataset.groups import near_duplicate_clusters
from autobird.dataset.index import (
    UNKNOWN_SPLIT,
    build_index,
    normalisation,
    read_windows,
)
from autobird.dataset.leakage import measure_leakage
from autobird.dataset.present import holds_any, species_rows
from autobird.dataset.recorders import COLUMNS
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.reviewed_groups import sessions_of_recorders
from autobird.dataset.schemas import INDEX
from autobird.dataset.settings import DatasetStageSettings
from autobird.dataset.window_entries import index_rows
from autobird.sources.splits import SPLITS

_LAST_SPLIT = ".split.csv"
"""File in the stage's state: the split of each recording in the last run."""


def report_moves(state: Store, index: pd.DataFrame) -> None:
    """Log the recordings whose split differs from the last run that is stored in `state`, and store this one."""
    assigned = index[index["split"] != UNKNOWN_SPLIT]
    current = assigned.drop_duplicates("recording").set_index("recording")["split"]
    with contextlib.suppress(FileNotFoundError):
        previous = pd.read_csv(io.BytesIO(state.read(_LAST_SPLIT)), index_col="recording", dtype=str)["split"]
        in_both = current.index.intersection(previous.index)
        moved = [name for name in in_both if current[name] != previous[name]]
        for name in moved:
            log.warning("moved from %s to %s: %s", previous[name], current[name], name)
        log.info("%d of %d recordings of the last run changed their split", len(moved), len(in_both))
    state.write(_LAST_SPLIT, current.to_csv(lineterminator="\n").encode())


def report_overridden_splits(index: pd.DataFrame, grouping: pd.DataFrame) -> None:
    """Log the recordings that the metadata give another split than their group has."""
    overridden = overridden_splits(index, grouping)
    for row in overridden.itertuples():
        group = ", ".join(line for line in str(row.group).splitlines() if line)
        log.warning(
            "the metadata give %s the split %s, but its group is in %s, as a group is never divided: %s",
            row.recording, row.given, row.assigned, group,
        )  # fmt: skip
    if len(overridden):
        print_line(
            f"[dataset] {len(overridden)} recordings are not in the split that the metadata give; the log lists them"
        )


def report_boxes(problems: "pd.Series[str]", recordings: "pd.Series[str]") -> None:
    """Log how many boxes begin after the end of each recording, and how many label no window.

    Args:
        problems: result of `box_problems`.
        recordings: recording of each box.
    """
    for recording, count in recordings[problems == NO_WINDOW].value_counts().sort_index().items():
        log.warning("%s: %d annotated boxes or reviewed windows label no window of the data set", recording, count)
    counts = recordings[problems == AFTER_END].value_counts().sort_index()
    for recording, count in counts.items():
        log.warning("%s: %d annotated boxes or reviewed windows begin after its end and are not used", recording, count)
    if len(counts):
        print_line(
            f"[dataset] {counts.sum()} annotated boxes begin after the end of their recording and are not used; check whether "
            f"the tables belong to other recordings, for example that of {counts.index[0]}"
        )


def negative_recordings(used: pd.DataFrame, with_species: "pd.Series[str]") -> pd.DataFrame:
    """Return the recordings of which only negative windows are in use, as `measure_leakage` needs them.

    Args:
        used: columns recording, split, negative; the windows in use.
        with_species: recordings with a species in use.
    """
    found = used[used["negative"] & ~used["recording"].isin(with_species)].drop_duplicates("recording")
    found = found[["recording", "split"]].reset_index(drop=True)
    return found.assign(species=[[] for _ in range(len(found))])


def report_missing_negatives(used: pd.DataFrame) -> None:
    """Log the splits without negatives, if there are negatives in others.

    Args:
        used: columns negative, split, group; the windows in use.
    """
    negatives = used[used["negative"]]
    missing = [split for split in SPLITS if not (negatives["split"] == split).any()] if len(negatives) else []
    if missing:
        log.warning(
            "negatives: none in %s, because they are %d independent groups",
            " and ".join(missing),
            negatives["group"].nunique(),
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    for name in ("recordings", "segments", "mels"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True)
    for name in ("grouping", "quarantine", "near_duplicates"):
        p.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True)
    p.add_argument("--boxes", type=Path, required=True, help="bounding boxes of annotated recordings")
    p.add_argument("--labels-table", type=Path, required=True, help="recordings that are not plain focal recordings")
    p.add_argument("--state", required=True, help="folder or URL with the splits of the last run; not an output")
    for name in ("index", "labels", "normalisation", "leakage", "counts"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(DatasetStageSettings, args.settings)
    with stage("dataset", args, [args.index, args.labels, args.normalisation, args.leakage, args.counts]):
        recordings = read_tables(args.recordings, [*COLUMNS, "file_sha256", "sound_sha256"])
        tables = RecordingTables.read(
            args.grouping, args.quarantine, args.near_duplicates, args.boxes, args.labels_table
        )
        batches = read_windows(args.segments, args.mels)
        index, numbers, labels = build_index(recordings, batches, tables, settings)
        used = index[index["dropped"] == ""]
        write_chunks(args.index, index_rows(index, numbers), INDEX)
        write_json(args.labels, labels)
        is_train = (index["dropped"] == "") & (index["split"] == "train") & holds_any(index, labels)
        write_json(args.normalisation, normalisation(numbers, is_train.to_numpy(bool)))
        accepted = recordings[~recordings["recording"].isin(tables.quarantined)]
        recorders = sessions_of_recorders(accepted, tables, settings)
        clusters = near_duplicate_clusters(tables.pairs) if settings.near_duplicates else None
        rows = species_rows(used, labels).drop_duplicates(["recording", "species"])
        of_species = rows.groupby("recording", as_index=False).agg({"species": list, "split": "first"})
        leakage = measure_leakage(of_species, tables.grouping, recorders, clusters, settings.seed)
        negatives = negative_recordings(used, of_species["recording"])
        if len(negatives):
            leakage["negatives"] = measure_leakage(negatives, tables.grouping, recorders, clusters, settings.seed)
        write_json(args.leakage, leakage)
        counts = count_dataset(recordings, index, labels, tables, settings)
        write_json(args.counts, counts)
        report_overridden_splits(index, tables.grouping)
        if len(tables.boxes):
            report_boxes(box_problems(recordings, index, tables, settings), tables.boxes["recording"])
        report_moves(open_store(args.state), index)
        if counts["left_out"]:
            print_line(f"[dataset] {left_out_sentence(counts['left_out'])}")
        for species, reason in counts["untestable"].items():
            log.warning("%s: %s", species, reason)
        report_missing_negatives(used)
        log.info("%s", counts)


if __name__ == "__main__":
    run(main)
