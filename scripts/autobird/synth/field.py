"""Stage `field_demo`: synthesise the demo field recordings of one batch into a tar archive, with the boxes of the songs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from autobird.audio.tar_file import TarMember, write_tar
from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, read_rows, write_text
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.synth.field_plan import FieldPlan, plan_field
from autobird.synth.field_scene import Song, render_field
from autobird.synth.recorder_files import recorder_file
from autobird.synth.settings import DemoFieldSettings, DemoSettings

BOX_COLUMNS = ["recording", "start", "end", "species", "problem"]
"""Columns of the table of boxes: one row per audible song, times in seconds."""

NO_LABEL = "no label"
"""Problem of a box without a species, as in the tables of boxes of annotated sources."""

RAVEN_COLUMNS = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
"""Columns of every selection table of Raven Pro; an annotation column of the user's follows."""


def synthesise_field(plan: FieldPlan) -> tuple[bytes, list[Song]]:
    """Return the audio file of a field recording, and its audible songs."""
    samples, songs = render_field(plan)
    return recorder_file(plan, samples), [song for song in songs if song.audible]


def box_rows(plan: FieldPlan, songs: Sequence[Song]) -> list[list[str]]:
    """Return the rows of songs in a table of boxes (`BOX_COLUMNS`). A song that is not clear has no label."""
    return [
        [plan.id, f"{song.start:.3f}", f"{song.end:.3f}", *((song.species, "") if song.clear else ("", NO_LABEL))]
        for song in songs
    ]


def raven_table(songs: Sequence[Song]) -> str:
    """Return a selection table as Raven Pro writes it, with the annotation column Species, empty for a song that is not clear."""
    rows = [[*RAVEN_COLUMNS, "Species"]]
    for number, song in enumerate(songs, 1):
        times, band = (f"{song.start:.9f}", f"{song.end:.9f}"), (f"{song.low:.3f}", f"{song.high:.3f}")
        rows.append([str(number), "Spectrogram 1", "1", *times, *band, song.species if song.clear else ""])
    return "".join("\t".join(row) + "\n" for row in rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--species", type=int, required=True, help="number of species of the demo corpus")
    p.add_argument("--seed", type=int, required=True, help="seed of the demo corpus")
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--audio", type=Path, required=True, help="tar archive to write")
    p.add_argument("--boxes", type=Path, required=True, help="table of boxes to write")
    args = p.parse_args(argv)
    demo, field = DemoSettings(species=args.species, seed=args.seed), settings_of(DemoFieldSettings, args.settings)
    with stage("field_demo", args, [args.audio, args.boxes]):
        plans = {plan.id: plan for plan in plan_field(demo, field)}
        recordings = [row["recording"] for row in read_rows(args.manifest)]
        unknown = [name for name in recordings if name not in plans]
        if unknown:
            raise AutobirdError(
                f"{args.manifest} lists {unknown[0]}, which is no field recording of the demo; delete {args.manifest}"
            )
        boxes = [BOX_COLUMNS]
        progress = Progress("field_demo", len(recordings), "recordings synthesised")

        def members() -> Iterator[TarMember]:
            for done, name in enumerate(recordings, 1):
                data, songs = synthesise_field(plans[name])
                boxes.extend(box_rows(plans[name], songs))
                yield TarMember(name, data)
                progress(done)

        write_tar(args.audio, members())
        write_text(args.boxes, csv_text(boxes))
        log.info(
            "%d recordings, %.1f s of audio, %d boxes, %d of them without a label",
            len(recordings),
            sum(plans[name].duration for name in recordings),
            len(boxes) - 1,
            sum(1 for row in boxes if row[-1] == NO_LABEL),
        )


if __name__ == "__main__":
    run(main)
