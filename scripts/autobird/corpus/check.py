"""Stage `check_corpus`: count the quarantined recordings, and stop the run if their share is too large."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.decimals import rounded_beside
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_tables, read_text_csv
from autobird.corpus.settings import CheckSettings
from autobird.sources.policy import LICENCE_REFUSED, TAKEN_DOWN


def check_quarantined_share(
    recordings: int,
    quarantine_reasons: "pd.Series[str]",
    quarantine_file: Path,
    settings: CheckSettings,
    not_audio: int = 0,
) -> dict[str, int]:
    """Return the numbers of all, accepted, quarantined and policy-excluded recordings; all = accepted + quarantined.

    Files that are no audio are no recordings: they are counted apart, and are not part of the share.

    Recordings that a policy excludes (licences, take-downs) are quarantined too, but they are left out of the share:
    they do not indicate damaged files.

    Args:
        recordings: number of recordings in the corpus.
        quarantine_reasons: the reason of each quarantined recording.
        quarantine_file: the table of quarantined recordings, for error messages.
        settings: the limit.
        not_audio: number of files that are no audio.

    Raises:
        AutobirdError: the quarantined share is above `max_quarantined_share`, or all recordings are quarantined.
    """
    quarantined, excluded = len(quarantine_reasons), int(quarantine_reasons.isin([LICENCE_REFUSED, TAKEN_DOWN]).sum())
    defective, checked = quarantined - excluded, recordings - excluded
    share = defective / max(1, checked)
    if share > settings.max_quarantined_share:
        percent = rounded_beside(100 * share, 100 * settings.max_quarantined_share, 0)
        raise AutobirdError(
            f"{defective} of {checked} recordings ({percent}%) are quarantined, more than "
            f"corpus.max_quarantined_share {settings.max_quarantined_share:g}; read the reasons in {quarantine_file}, "
            "then fix the files or raise the setting"
        )
    if quarantined == recordings:
        raise AutobirdError(f"none of {recordings} recordings can be used; read the reasons in {quarantine_file}")
    return {
        "recordings": recordings, "accepted": recordings - quarantined, "quarantined": quarantined, "refused_by_policy": excluded,
        "not_audio": not_audio,
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--quarantine", type=Path, required=True)
    p.add_argument("--not-audio", type=Path, required=True, help="table of the files that are no audio")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(CheckSettings, args.settings)
    with stage("check_corpus", args, [args.output]):
        recordings = read_tables(args.recordings, ["recording"])
        reasons = read_text_csv(args.quarantine)["reason"]
        not_audio = len(read_text_csv(args.not_audio))
        counts = check_quarantined_share(len(recordings), reasons, args.quarantine, settings, not_audio)
        write_json(args.output, counts)
        log.info("%s", counts)


if __name__ == "__main__":
    run(main)
