"""Stage `field_predict`: predict the field recordings of one batch with the bundle, as `autobird predict` does.

The answers are those of `predict.files`, so that what is measured is what is delivered. Recordings that the bundle cannot predict are
listed with the reason.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from autobird.audio.access import RecordingLocation, RecordingRoots, audio_sources
from autobird.core.columns import write_arrow
from autobird.core.files import csv_text, read_rows, write_text
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import write_csv
from autobird.evaluation.field_data import ANSWERS, DETECTIONS, WINDOWS
from autobird.predict.answer_options import AS_RELEASED
from autobird.predict.backbone import check_backbone
from autobird.predict.bundle import Bundle
from autobird.predict.files import FileJob, FileResult, predict_batch_files, skipped

_PART = "is a part of its file, and the bundle predicts whole files; cut it out into a file of its own"


def problem_of(row: Mapping[str, str]) -> str:
    """Return why a row of the batch manifest cannot be predicted; "" if it can."""
    return row["problem"] or (_PART if row["start"] or row["end"] else "")


def windows_table(results: Sequence[FileResult], labels: Sequence[str]) -> pa.Table:
    """Return the windows of all results as `WINDOWS`."""
    columns: dict[str, list[Any]] = {name: [] for name in WINDOWS.names}
    for result in results:
        for window in result.windows or ():
            detected = set(window.detected)
            for name, value in (
                ("recording", result.file), ("start", window.start), ("end", window.end), ("quiet", window.quiet),
                ("probabilities", window.probabilities), ("detected", [label in detected for label in labels]),
            ):  # fmt: skip
                columns[name].append(value)
    return pa.table([pa.array(columns[f.name], f.type) for f in WINDOWS], schema=WINDOWS)


def detections_csv(results: Sequence[FileResult]) -> str:
    """Return the delivered detections as CSV, with the columns `DETECTIONS`."""
    return csv_text(
        [
            DETECTIONS,
            *(
                [r.file, repr(d.start), repr(d.end), d.species, f"{d.probability:.6f}"]
                for r in results
                for d in r.detections
            ),
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--bundle", type=Path, required=True)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--root", type=RecordingRoots.parse, nargs="?", help="folder of the recordings that no tar holds")
    p.add_argument("--audio", type=Path, nargs="*", default=[], help="tar archive of the batch")
    p.add_argument("--backbone", nargs="?", help="file of the backbone; used if the bundle needs one")
    p.add_argument("--windows", type=Path, required=True)
    p.add_argument("--detections", type=Path, required=True)
    p.add_argument(
        "--answers", type=Path, required=True, help="table of recordings: length, or why it was not predicted"
    )
    args = p.parse_args(argv)
    with stage("field_predict", args, [args.windows, args.detections, args.answers]):
        rows = read_rows(args.manifest)
        # The errors of the bundle and its backbone must end the stage before a worker starts.
        bundle = Bundle.load(args.bundle)
        backbone = check_backbone(bundle, args.backbone or None if bundle.backbone else None)
        progress = Progress("field_predict", len(rows), "recordings")
        sounds = audio_sources([RecordingLocation.from_row(row) for row in rows], args.root, args.audio)
        results = [skipped(r["recording"], problem_of(r) or "missing from the batch's archive") for r in rows]
        usable = [
            (n, FileJob(args.bundle, sound, row["recording"], by_window=True, backbone=backbone, options=AS_RELEASED))
            for n, (row, sound) in enumerate(zip(rows, sounds, strict=True))
            if not problem_of(row) and sound is not None
        ]
        predict_batch_files(results, usable, bundle, progress)
        write_arrow(args.windows, windows_table(results, bundle.labels))
        write_text(args.detections, detections_csv(results))
        answers = [[r.file, round(r.duration, 3), r.error, r.note] for r in results]
        write_csv(args.answers, pd.DataFrame(answers, columns=ANSWERS))
        for result in results:
            if result.error or result.note:
                log.warning("%s: %s", result.file, f"skipped: {result.error}" if result.error else result.note)
        hours = sum(r.duration for r in results) / 3600
        log.info("%d recordings, %.2f h, %d skipped", len(results), hours, sum(bool(r.error) for r in results))


if __name__ == "__main__":
    run(main)
