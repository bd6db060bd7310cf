"""Stage `predict_batch`: classify the recordings of one batch with a bundle."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autobird.audio.access import RecordingLocation, audio_sources
from autobird.core.files import csv_text, read_rows, write_text
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, stage
from autobird.drift.features import DRIFT_FEATURES
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.backbone import check_backbone
from autobird.predict.bundle import Bundle
from autobird.predict.codes import SpeciesCodes
from autobird.predict.columns import DetectionTable
from autobird.predict.files import FileJob, FileResult, predict_batch_files, skipped
from autobird.predict.formats import CsvFormat, as_text, file_rows
from autobird.predict.occurrence_filter import OccurrenceFilter, left_out_text, location_of
from autobird.predict.origin import Origin, Places
from autobird.predict.species_names import names_of, read_species_list

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


def _with_occurrence(
    results: Sequence[FileResult], occurrence: OccurrenceFilter, places: Places
) -> tuple[list[FileResult], Counter[str]]:
    """Return the results with the occurrence of each detection, and the number of those that are left out, by species."""
    pairs = [occurrence.apply(result, places) for result in results]
    return [result for result, _ in pairs], Counter(d.species for _, left_out in pairs for d in left_out)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--bundle", type=Path, required=True)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--root", type=Path, nargs="?", help="folder of the recordings; used if --audio is empty")
    p.add_argument("--audio", type=Path, nargs="?", help="tar archive of the batch")
    p.add_argument("--backbone", nargs="?", help="file of the backbone; used if the bundle needs one")
    p.add_argument("--site", default="auto")
    p.add_argument("--time-zone", nargs="?")
    p.add_argument("--recorder-clock", nargs="?")
    p.add_argument("--overlay", type=Path, nargs="?", help="table of thresholds beside the bundle; used if it is given")
    p.add_argument("--threshold", type=float)
    p.add_argument("--precision", type=float)
    p.add_argument("--species", type=Path, nargs="?", help="list of the species to report; all if it is not given")
    p.add_argument("--names", type=Path, nargs="?", help="table of other names of these species")
    p.add_argument("--codes", type=Path, nargs="?", help="table of species codes; the column code")
    p.add_argument("--latitude", type=float, help="of the recordings, degrees; the column occurrence")
    p.add_argument("--longitude", type=float)
    p.add_argument("--week", type=int)
    p.add_argument("--min-occurrence", type=float)
    p.add_argument("--detections", type=Path, required=True)
    p.add_argument("--files", type=Path, required=True)
    p.add_argument("--skipped", type=Path, required=True)
    p.add_argument("--features", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("predict_batch", args, [args.detections, args.files, args.skipped, args.features]):
        location = location_of(args.latitude, args.longitude, args.week, args.min_occurrence)
        table = DetectionTable(
            Places.named(args.site, args.time_zone or "", args.recorder_clock or ""),
            SpeciesCodes(args.codes) if args.codes else None,
            location is not None,
        )
        rows = read_rows(args.manifest)
        # The errors of the bundle and its backbone must end the stage before a worker starts.
        bundle = Bundle.load(args.bundle)
        species = read_species_list(args.species, names_of(bundle.labels, args.names)) if args.species else None
        options = AnswerOptions(args.overlay is not None, args.precision, args.threshold, species)
        options.apply(bundle)
        occurrence = OccurrenceFilter.of(bundle.labels, location) if location else None
        if occurrence and occurrence.unknown:
            log.info(
                "the location model does not know %s; these species are not filtered", ", ".join(occurrence.unknown)
            )
        if table.codes and (without := table.codes.missing(list(bundle.labels))):
            log.info("%s has no code for %s", args.codes, ", ".join(without))
        for note in options.notes(bundle):
            log.info("%s", note)
        backbone = check_backbone(bundle, args.backbone or None if bundle.backbone else None)
        progress = Progress("predict_batch", len(rows), "recordings")
        results = [
            replace(
                skipped(row["recording"], "cannot be read; check the file's name and permissions"),
                origin=Origin(row["recording"]),
            )
            for row in rows
        ]
        sounds = audio_sources([RecordingLocation(row["recording"]) for row in rows], args.root, args.audio)
        readable = [
            (n, FileJob(args.bundle, sound, row["recording"], backbone=backbone, options=options))
            for n, (row, sound) in enumerate(zip(rows, sounds, strict=True))
            if row["sha256"] and sound is not None
        ]
        predict_batch_files(results, readable, bundle, progress)
        if occurrence:
            results, left_out = _with_occurrence(results, occurrence, table.places)
            if left_out:
                log.info("min_occurrence %s", left_out_text(left_out))
        write_text(args.detections, as_text(CsvFormat(table), results))
        write_text(args.files, csv_text(list(file_rows(results, table))))
        write_text(args.skipped, csv_text([["file", "reason"], *([r.file, r.error] for r in results if r.error)]))
        write_text(args.features, drift_features_csv(results))
        seconds = sum(r.duration for r in results)
        without_result = [r for r in results if r.error]
        for result in without_result:
            log.warning("%s: skipped: %s", result.file, result.error)
        for result in results:
            if result.note:
                log.warning("%s: %s", result.file, result.note)
        log.info("%d recordings, %.1f min, %d skipped", len(results), seconds / 60, len(without_result))


if __name__ == "__main__":
    run(main)
