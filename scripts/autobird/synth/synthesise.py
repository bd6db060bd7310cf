"""Stage `download` of the embedded corpus: synthesise one batch into one tar."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from autobird.audio.pack import tar_member
from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, csv_text, read_rows, write_text
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.synth.encode import encode
from autobird.synth.plan import Plan, plan_corpus
from autobird.synth.scene import Event, render
from autobird.synth.settings import DemoSettings

TRUTH = ["recording", "species", "onset", "offset", "low", "high"]
"""Columns of the truth: when the labelled species sings, seconds, and in which band, Hz."""


def truth_rows(plan: Plan, events: Sequence[Event]) -> list[list[str]]:
    """The truth about one recording, one row a note."""
    return [[plan.id, plan.name, f"{e.onset:.3f}", f"{e.offset:.3f}", f"{e.low:.0f}", f"{e.high:.0f}"] for e in events]


def synthesise(plan: Plan) -> tuple[bytes, list[list[str]]]:
    """The bytes of a recording's audio file, and its truth."""
    samples, events = render(plan)
    return encode(samples, plan.sample_rate, plan.format), truth_rows(plan, events)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--audio", type=Path, required=True, help="the tar to write")
    p.add_argument("--truth", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(DemoSettings, args.settings)
    with stage("download", args, [args.audio, args.truth]):
        plans = {q.id: q for q in plan_corpus(settings.seed, settings.species, settings.recordings)}
        ids = [row["recording"] for row in read_rows(args.manifest)]
        unknown = [i for i in ids if i not in plans]
        if unknown:
            raise AutobirdError(
                f"{args.manifest} names {unknown[0]}, which the demo corpus does not hold; delete that file"
            )
        truth = [TRUTH]
        progress = Progress("download", len(ids), "recordings synthesised")
        with atomic(args.audio) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            for done, name in enumerate(ids, 1):
                data, rows = synthesise(plans[name])
                tar.addfile(tar_member(name, len(data)), io.BytesIO(data))
                truth += rows
                progress(done)
        write_text(args.truth, csv_text(truth))
        log.info(
            "%d recordings, %.1f s of sound, %d notes",
            len(ids),
            sum(plans[i].duration for i in ids),
            len(truth) - 1,
        )


if __name__ == "__main__":
    run(main)
