"""Stage `check_corpus`: fail where so much is quarantined that something must be wrong; else write the counts."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_tables, read_text_csv
from autobird.corpus.settings import CheckSettings
from autobird.sources.policy import LICENCE_REFUSED, TAKEN_DOWN


def check(recordings: int, reasons: "pd.Series[str]", file: Path, settings: CheckSettings) -> dict[str, int]:
    """Counts of recordings: all = accepted + quarantined.

    What a policy refuses (licences, take-downs) is quarantined too, but says nothing about the state of the corpus.

    Args:
        recordings: how many there are.
        reasons: why some are quarantined.
        file: where those are listed.
        settings: how many may be.

    Raises:
        AutobirdError: the quarantined share is above `max_quarantined_share`, or nothing is left.
    """
    quarantined, refused = len(reasons), int(reasons.isin([LICENCE_REFUSED, TAKEN_DOWN]).sum())
    wrong, judged = quarantined - refused, recordings - refused
    share = wrong / max(1, judged)
    if share > settings.max_quarantined_share:
        raise AutobirdError(
            f"{wrong} of {judged} recordings ({share:.0%}) are quarantined, more than "
            f"corpus.max_quarantined_share {settings.max_quarantined_share:g}; read the reasons in {file}, mend the files or "
            "raise that key"
        )
    if quarantined == recordings:
        raise AutobirdError(f"none of {recordings} recordings can be used; read the reasons in {file}")
    return {
        "recordings": recordings, "accepted": recordings - quarantined, "quarantined": quarantined, "refused_by_policy": refused,
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--quarantine", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(CheckSettings, args.settings)
    with stage("check_corpus", args, [args.output]):
        recordings = read_tables(args.recordings, ["recording"])
        reasons = read_text_csv(args.quarantine)["reason"]
        counts = check(len(recordings), reasons, args.quarantine, settings)
        write_json(args.output, counts)
        log.info("%s", counts)


if __name__ == "__main__":
    run(main)
