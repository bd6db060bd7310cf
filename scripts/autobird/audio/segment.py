"""Stage `segment`: cut every recording of one batch into windows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autobird.audio.settings import WindowSettings
from autobird.audio.windows import window_rms, window_starts
from autobird.core.columns import read_columns, write_columns
from autobird.core.errors import AutobirdError
from autobird.core.stage import log, parser, run, settings_of, stage

SEGMENTS = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.int64()),
        ("rms", pa.float32()),
        ("offset", pa.int64()),
        ("samples", pa.int64()),
    ]
)
"""One row per window: its first sample in the recording, its RMS without padding (full scale = 1), and the position of
the recording in the batch's PCM file: first sample and number of samples."""


def segment(
    recordings: Sequence[str], samples: NDArray[np.int64], pcm: Path, settings: WindowSettings
) -> dict[str, Any]:
    """Return the windows of a batch as the columns of `SEGMENTS`.

    Args:
        recordings: names of all recordings of the batch.
        samples: number of samples of each recording in `pcm`; 0 for an unusable one.
        pcm: `.npy` file of the mono samples of all recordings, one after the other.
        settings: window length and hop.

    Raises:
        AutobirdError: `pcm` does not have as many samples as the recordings, so the two do not belong together.
    """
    stored_samples = len(np.load(pcm, mmap_mode="r"))
    if stored_samples != samples.sum():
        raise AutobirdError(
            f"{pcm} has {stored_samples} samples, but the recordings of its batch have {samples.sum()}; delete the file and run again"
        )
    window, hop = settings.window_samples, settings.hop_samples
    offsets = np.cumsum(samples) - samples
    starts = [window_starts(n, window, hop) for n in samples]
    # A new memory map for each recording, so that the pages of earlier recordings do not stay in memory.
    rms = [
        window_rms(np.load(pcm, mmap_mode="r")[o : o + n], s, window)
        for o, n, s in zip(offsets, samples, starts, strict=True)
    ]
    counts = [len(s) for s in starts]
    return {
        "recording": [name for name, n in zip(recordings, counts, strict=True) for _ in range(n)],
        "start": np.concatenate([*starts, np.zeros(0, np.int64)]),
        "rms": np.concatenate([*rms, np.zeros(0, np.float32)]),
        "offset": np.repeat(offsets, counts),
        "samples": np.repeat(samples, counts),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, required=True, help="table of the stage `recordings`")
    p.add_argument("--pcm", type=Path, required=True, help="decoded samples of the batch")
    p.add_argument("--segments", type=Path, required=True, help="table of windows to write")
    args = p.parse_args(argv)
    settings = settings_of(WindowSettings, args.settings)
    with stage("segment", args, [args.segments]):
        names, samples = read_columns(args.recordings, ["recording", "samples"])
        table = segment(names, samples, args.pcm, settings)
        write_columns(args.segments, table, SEGMENTS)
        minutes, unusable = samples.sum() / settings.sample_rate / 60, int((samples == 0).sum())
        log.info(
            "%d recordings (%.1f min) cut into %d windows; %d unusable recordings skipped",
            len(names) - unusable, minutes, len(table["start"]), unusable,
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
