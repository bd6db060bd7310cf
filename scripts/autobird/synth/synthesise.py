"""Stage `download` for the demo corpus: synthesise the recordings of one batch into a tar archive."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from autobird.audio.access import SYNTHESISED
from autobird.audio.tar_file import TarMember, write_tar
from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, read_rows, write_text
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.synth.encode import encode
from autobird.synth.negative_scene import render_negative
from autobird.synth.plan import NegativePlan, Plan, all_plans
from autobird.synth.scene import SungNote, render
from autobird.synth.settings import DemoSettings

TRUTH_COLUMNS = ["recording", "species", "onset", "offset", "low", "high"]
"""Columns of the ground truth: one row per note of the labelled species, times in seconds, frequencies in Hz."""


def _truth_row(plan: Plan, note: SungNote) -> list[str]:
    return [plan.id, plan.name, f"{note.onset:.3f}", f"{note.offset:.3f}", f"{note.low:.0f}", f"{note.high:.0f}"]


def synthesise(plan: Plan | NegativePlan) -> tuple[bytes, list[list[str]]]:
    """Return the audio file of a recording and its ground truth (`TRUTH_COLUMNS`); a negative has none."""
    if isinstance(plan, NegativePlan):
        return encode(render_negative(plan), plan.sample_rate, plan.format), []
    samples, notes = render(plan)
    return encode(samples, plan.sample_rate, plan.format), [_truth_row(plan, note) for note in notes]


def demo_rows(manifest: Iterable[Mapping[str, str]]) -> list[tuple[str, str, str]]:
    """Return the recordings of the demo in a manifest: id, name in the tar archive, and id in the demo.

    If the demo is one of several sources, the ids begin with the name of the source, and the locations hold the ids in the demo.
    """
    rows = []
    for row in manifest:
        recording, location = row["recording"], row.get("location", "")
        if location.startswith(SYNTHESISED):
            rows.append((recording, location, location.removeprefix(SYNTHESISED).partition("/")[2]))
        elif not location:
            rows.append((recording, recording, recording))
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--audio", type=Path, required=True, help="tar archive to write")
    p.add_argument("--truth", type=Path, required=True, help="table of the ground truth to write")
    args = p.parse_args(argv)
    settings = settings_of(DemoSettings, args.settings)
    with stage("download", args, [args.audio, args.truth]):
        plans = {q.id: q for q in all_plans(settings)}
        rows = demo_rows(read_rows(args.manifest))
        recordings = [id_in_demo for _, _, id_in_demo in rows]
        unknown = [name for name in recordings if name not in plans]
        if unknown:
            raise AutobirdError(
                f"{args.manifest} lists {unknown[0]}, which is not in the demo corpus; delete {args.manifest}"
            )
        truth = [TRUTH_COLUMNS]
        progress = Progress("download", len(recordings), "recordings synthesised")

        def members() -> Iterator[TarMember]:
            for done, (recording, file, name) in enumerate(rows, 1):
                data, truth_of_recording = synthesise(plans[name])
                truth.extend([recording, *others] for _, *others in truth_of_recording)
                yield TarMember(file, data)
                progress(done)

        write_tar(args.audio, members())
        write_text(args.truth, csv_text(truth))
        log.info(
            "%d recordings, %.1f s of audio, %d notes",
            len(recordings),
            sum(plans[name].duration for name in recordings),
            len(truth) - 1,
        )


if __name__ == "__main__":
    run(main)
