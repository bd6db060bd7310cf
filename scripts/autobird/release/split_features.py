"""Stage `drift_current` for the test split: compute the drift features of its recordings."""

from collections.abc import Sequence
from pathlib import Path

from autobird.audio.settings import MelSettings
from autobird.core.files import read_json
from autobird.core.memory_maps import memory_maps
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.drift.features import DRIFT_FEATURES
from autobird.evaluation.predictions import windows_to_predict
from autobird.predict.bundle import calibration_of
from autobird.release.drift_reference import DIGITS, drift_table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--description", type=Path, required=True, help="bundle.json of the bundle")
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--predictions", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(MelSettings, args.settings)
    with stage("drift_current", args, [args.output]):
        description = read_json(args.description)
        windows = windows_to_predict(read_table(args.index), description["labels"])
        windows = windows[windows["split"] == "test"]
        shards = memory_maps(args.shards)
        table = drift_table(windows, read_table(args.predictions), shards, settings, calibration_of(description))
        write_csv(args.output, table[["recording", *DRIFT_FEATURES]].round(DIGITS))
        log.info("%d test recordings", len(table))


if __name__ == "__main__":
    run(main)
