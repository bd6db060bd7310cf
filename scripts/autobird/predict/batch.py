"""Stage `predict_batch`: classify the recordings of one batch with a bundle."""

from collections.abc import Sequence
from pathlib import Path

from autobird.audio.access import RecordingLocation, audio_sources, open_source
from autobird.core.files import csv_text, read_rows, write_text
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, stage
from autobird.drift.features import DRIFT_FEATURES
from autobird.predict.classifier import Classifier
from autobird.predict.files import FileResult, predict_file
from autobird.predict.formats import as_csv

FEATURE_DIGITS = 5
"""Decimals of the drift features, as in the drift reference of a bundle."""


def drift_features_csv(results: Sequence[FileResult]) -> str:
    """Return the drift features as CSV, one row per classified file."""
    rows = [["recording", *DRIFT_FEATURES]]
    rows += [
        [r.file, *(f"{r.drift_features[name]:.{FEATURE_DIGITS}f}" for name in DRIFT_FEATURES)]
        for r in results
        if not r.error
    ]
    return csv_text(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--bundle", type=Path, required=True)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--root", type=Path, nargs="?", help="folder of the recordings; used if --audio is empty")
    p.add_argument("--audio", type=Path, nargs="?", help="tar archive of the batch")
    p.add_argument("--detections", type=Path, required=True)
    p.add_argument("--skipped", type=Path, required=True)
    p.add_argument("--features", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("predict_batch", args, [args.detections, args.skipped, args.features]):
        rows = read_rows(args.manifest)
        classifier = Classifier(args.bundle)
        progress = Progress("predict_batch", len(rows), "recordings")
        results = []
        sounds = audio_sources([RecordingLocation(row["recording"]) for row in rows], args.root, args.audio)
        for done, (row, sound) in enumerate(zip(rows, sounds, strict=True), 1):
            name = row["recording"]
            if row["sha256"] and sound is not None:
                with open_source(sound) as audio:
                    results.append(predict_file(classifier, audio, name))
            else:
                results.append(
                    FileResult(name, "cannot be read; check the file's name and permissions", 0.0, None, [], {})
                )
            progress(done)
        write_text(args.detections, as_csv(results))
        write_text(args.skipped, csv_text([["file", "reason"], *([r.file, r.error] for r in results if r.error)]))
        write_text(args.features, drift_features_csv(results))
        seconds = sum(r.duration for r in results)
        skipped = sum(bool(r.error) for r in results)
        log.info("%d recordings, %.1f min, %d skipped", len(results), seconds / 60, skipped)


if __name__ == "__main__":
    run(main)
