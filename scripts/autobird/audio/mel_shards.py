"""Stage `mel_shards`: the log-mel frames of one batch, end to end in one memory-mappable file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.mel import LogMel, window_moments
from autobird.audio.npy import NpyWriter
from autobird.audio.settings import MelSettings
from autobird.core.files import atomic
from autobird.core.stage import Progress, log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_table

MELS = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.int64()),
        ("first_frame", pa.int64()),
        ("mel_mean", pa.float64()),
        ("mel_std", pa.float64()),
    ]
)
"""One row a window, in the order of the segment table: its first frame in the shard, and mean and standard
deviation of its log-mel cells (nats), from which the filter and the normalisation are made."""


def mel_shard(segments: pd.DataFrame, pcm: NDArray[np.int16], shard: Path, settings: MelSettings) -> pd.DataFrame:
    """Write the float16 frames of all recordings of `segments` to `shard` and return `MELS`.

    Memory holds one recording at a time.
    """
    front_end = LogMel.of(settings)
    size = front_end.frames_per_window
    parts: list[pd.DataFrame] = []
    groups = segments.groupby("recording", sort=False)
    progress = Progress("mel_shards", len(groups), "recordings")
    with NpyWriter(shard, "<f2", (settings.mels,)) as out:
        for done, (_, rows) in enumerate(groups, 1):
            offset, length = int(rows["offset"].iloc[0]), int(rows["samples"].iloc[0])
            frames, firsts = front_end.windows(pcm[offset : offset + length])
            stored = frames.astype(np.float16)
            at = out.append(stored)
            mean, std = window_moments(stored, firsts, size)
            parts.append(
                pd.DataFrame(
                    {
                        "recording": rows["recording"],
                        "start": rows["start"],
                        "first_frame": at + firsts,
                        "mel_mean": mean,
                        "mel_std": std,
                    }
                )
            )
            progress(done)
    return pd.concat(parts) if parts else MELS.empty_table().to_pandas()


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--segments", type=Path, required=True)
    p.add_argument("--pcm", type=Path, required=True)
    p.add_argument("--shard", type=Path, required=True)
    p.add_argument("--table", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(MelSettings, args.settings)
    with stage("mel_shards", args, [args.shard, args.table]):
        segments = read_table(args.segments)
        pcm: NDArray[np.int16] = np.load(args.pcm, mmap_mode="r")
        with atomic(args.shard) as temporary:
            table = mel_shard(segments, pcm, temporary, settings)
        write_table(args.table, table, MELS)
        log.info("%d windows of %d recordings", len(table), segments["recording"].nunique())


if __name__ == "__main__":
    run(main)
