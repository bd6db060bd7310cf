"""Stage `segment`: decode one batch to mono PCM, and cut every recording into windows."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from autobird.audio.access import open_recordings, places_of
from autobird.audio.decode import decode
from autobird.audio.npy import NpyWriter
from autobird.audio.settings import SegmentSettings
from autobird.audio.windows import window_rms, window_starts
from autobird.core.errors import AutobirdError
from autobird.core.files import atomic
from autobird.core.stage import Progress, log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_table

SEGMENTS = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.int64()),
        ("rms", pa.float32()),
        ("offset", pa.int64()),
        ("samples", pa.int64()),
    ]
)
"""One row a window: its first sample in the recording, its RMS over its real samples (full scale = 1), and
where the recording lies in the batch's PCM: first sample and number of samples."""


def segment(
    recordings: pd.DataFrame, root: Path | None, tar: Path | None, pcm: Path, settings: SegmentSettings
) -> pd.DataFrame:
    """Decode the usable recordings of a batch into `pcm` and return their windows (`SEGMENTS`).

    Raises:
        AutobirdError: a recording that was readable before no longer is.
    """
    places = places_of(recordings[recordings["status"] == "ok"])
    window, hop = settings.window_samples, settings.hop_samples
    parts: list[pd.DataFrame] = []
    progress = Progress("segment", len(places), "recordings")
    with NpyWriter(pcm, "<i2") as out:
        for done, (place, audio) in enumerate(open_recordings(places, root, tar), 1):
            name = place.recording
            if audio is None:
                raise AutobirdError(f"{tar} lacks {name}; delete that file and run again")
            try:
                samples = decode(audio, settings.sample_rate, settings.max_duration, place.span)
            except Exception as error:
                raise AutobirdError(f"{name}: readable before, but now: {error}; run again") from error
            starts = window_starts(len(samples), window, hop)
            parts.append(
                pd.DataFrame(
                    {
                        "recording": name,
                        "start": starts,
                        "rms": window_rms(samples, starts, window),
                        "offset": out.append(samples),
                        "samples": len(samples),
                    }
                )
            )
            progress(done)
    return pd.concat(parts) if parts else SEGMENTS.empty_table().to_pandas()


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, required=True)
    p.add_argument("--root", type=Path, nargs="?", help="folder of a local corpus, read where --audio is empty")
    p.add_argument("--audio", type=Path, nargs="?", help="tar of the batch")
    p.add_argument("--pcm", type=Path, required=True)
    p.add_argument("--segments", type=Path, required=True)
    args: argparse.Namespace = p.parse_args(argv)
    settings = settings_of(SegmentSettings, args.settings)
    with stage("segment", args, [args.pcm, args.segments]):
        recordings = read_table(args.recordings)
        with atomic(args.pcm) as temporary:
            table = segment(recordings, args.root, args.audio, temporary, settings)
        write_table(args.segments, table, SEGMENTS)
        seconds = np.sum(recordings.loc[recordings["status"] == "ok", "duration"])
        unusable = int((recordings["status"] != "ok").sum())
        log.info(
            "%d recordings (%.1f min) became %d windows; %d quarantined ones left out",
            len(recordings) - unusable, seconds / 60, len(table), unusable,
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
