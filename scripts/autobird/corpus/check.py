"""Stage `check_corpus`: count the quarantined recordings, and stop the run if their share is too large."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.decimals import rounded_beside
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_tables, read_text_csv
from autobird.core.wording import counted
from autobird.corpus.settings import CheckSettings
from autobird.sources.base import NEGATIVE
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
        raise AutobirdError(
            f"none of {counted(recordings, 'recording')} can be used; read the reasons in {quarantine_file}"
        )
    return {
        "recordings": recordings, "accepted": recordings - quarantined, "quarantined": quarantined, "refused_by_policy": excluded,
        "not_audio": not_audio,
    }  # fmt: skip


def count_negatives(recordings: pd.DataFrame, quarantined: "pd.Series[str]", kinds: pd.DataFrame) -> int:
    """Return the number of accepted negatives, and check that they are not all that is left.

    Args:
        recordings: column recording.
        quarantined: ids of the quarantined recordings.
        kinds: columns recording, kind, of the recordings that are not focal.

    Raises:
        AutobirdError: no accepted recording has a species or annotations.
    """
    accepted = recordings[~recordings["recording"].isin(quarantined)]
    negatives = int(accepted["recording"].isin(kinds.loc[kinds["kind"] == NEGATIVE, "recording"]).sum())
    if negatives and negatives == len(accepted):
        raise AutobirdError(
            f"all {negatives} recordings that can be used are negatives, and none is of a species; read the reasons in quarantine.csv, "
            "then correct or add recordings of a species"
        )
    return negatives


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--quarantine", type=Path, required=True)
    p.add_argument("--kinds", type=Path, required=True, help="table of the recordings that are not focal")
    p.add_argument("--not-audio", type=Path, required=True, help="table of the files that are no audio")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(CheckSettings, args.settings)
    with stage("check_corpus", args, [args.output]):
        recordings = read_tables(args.recordings, ["recording"])
        quarantined = read_text_csv(args.quarantine)
        not_audio = len(read_text_csv(args.not_audio))
        counts = check_quarantined_share(len(recordings), quarantined["reason"], args.quarantine, settings, not_audio)
        counts["negatives"] = count_negatives(recordings, quarantined["recording"], read_text_csv(args.kinds))
        write_json(args.output, counts)
        log.info("%s", counts)


if __name__ == "__main__":
    run(main)
