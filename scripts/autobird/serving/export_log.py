"""Stage `drift_current` for the server's log: write the drift features of the recordings that one bundle classified."""

from collections.abc import Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, read_json, write_json, write_text
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.drift.names import DRIFT_FEATURES
from autobird.drift.settings import LogRangeSettings
from autobird.drift.time_range import end_of, start_of, utc_text
from autobird.serving.log_reader import LogSelection, select_entries
from autobird.serving.store.backend import Unavailable

_LISTED = 3
"""Largest number of other bundles that a text lists."""


def range_text(selection: LogSelection) -> str:
    """Describe the time range of a selection."""
    parts = [f"from {utc_text(selection.since)} on"] if selection.since is not None else []
    parts += [f"before {utc_text(selection.until)}"] if selection.until is not None else []
    return " and ".join(parts) or "at any time"


def selection_text(selection: LogSelection) -> str:
    """Describe which entries of the log are used, and how many are left out."""
    left_out = [f"{selection.outside} of this bundle at other times"] if selection.outside else []
    if selection.repeated:
        left_out.append(f"{selection.repeated} of recordings that were classified before")
    if selection.others:
        names = sorted(selection.others, key=lambda name: (-selection.others[name], name))
        listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
        left_out.append(f"{sum(selection.others.values())} of other bundles ({listed})")
    return (
        f"{len(selection.entries)} entries of the server's log, classified by bundle {selection.bundle} {range_text(selection)}; "
        f"left out: {', '.join(left_out) or 'none'}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--database", type=Path, required=True, help="the server's log")
    p.add_argument("--description", type=Path, required=True, help="bundle.json of the bundle whose entries are used")
    p.add_argument("--output", type=Path, required=True, help="drift features, CSV")
    p.add_argument("--selection", type=Path, required=True, help="which entries are used and left out, JSON")
    args = p.parse_args(argv)
    settings = settings_of(LogRangeSettings, args.settings)
    with stage("drift_current", args, [args.output, args.selection]):
        bundle = str(read_json(args.description)["fingerprint"])
        since = start_of(settings.since) if settings.since else None
        until = end_of(settings.until) if settings.until else None
        try:
            selection = select_entries(args.database, bundle, since, until, settings.days)
        except Unavailable as error:
            raise AutobirdError(
                f"{args.database} is not a log of the server ({error}); give the file that `autobird serve --log` wrote"
            ) from error
        text = selection_text(selection)
        log.info("%s", text)
        if not selection.entries:
            raise AutobirdError(
                f"{args.database}: {text}; serve the bundle of this run, test the run whose bundle was served, "
                "or change drift.since, drift.until and drift.days"
            )
        rows = [[f"request {number}", *(f"{v:.5f}" for v in values)] for number, values in selection.entries]
        write_text(args.output, csv_text([["recording", *DRIFT_FEATURES], *rows]))
        write_json(
            args.selection,
            {
                "text": text,
                "bundle": bundle,
                "since": None if selection.since is None else utc_text(selection.since),
                "until": None if selection.until is None else utc_text(selection.until),
                "used": len(selection.entries),
                "outside": selection.outside,
                "repeated": selection.repeated,
                "others": selection.others,
            },
        )


if __name__ == "__main__":
    run(main)
