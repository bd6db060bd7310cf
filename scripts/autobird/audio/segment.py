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
"""One row a window: its first sample in the recording, its RMS over its real samples (full scale = 1), and
where the recording lies in the batch's PCM: first sample and number of samples."""


def segment(
    recordings: Sequence[str], samples: NDArray[np.int64], pcm: Path, settings: WindowSettings
) -> dict[str, Any]:
    """The windows of a batch, as the columns of `SEGMENTS`.

    Args:
        recordings: names of all recordings of the batch.
        samples: how many of the samples in `pcm` are each one's; 0 for an unusable one.
        pcm: the file of their mono samples, end to end.
        settings: how they are cut.

    Raises:
        AutobirdError: the file does not have as many samples as the recordings, so the two do not belong together.
    """
    stored_samples = len(np.load(pcm, mmap_mode="r"))
    if stored_samples != samples.sum():
        raise AutobirdError(
            f"{pcm} has {stored_samples} samples, but the recordings of its batch have {samples.sum()}; delete the file and run again"
        )
    window, hop = settings.window_samples, settings.hop_samples
    offsets = np.cumsum(samples) - samples
    starts = [window_starts(n, window, hop) for n in samples]
    # Mapped anew for each recording, so that memory does not fill with those that are done.
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
    p.add_argument("--recordings", type=Path, required=True)
    p.add_argument("--pcm", type=Path, required=True)
    p.add_argument("--segments", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(WindowSettings, args.settings)
    with stage("segment", args, [args.segments]):
        names, samples = read_columns(args.recordings, ["recording", "samples"])
        table = segment(names, samples, args.pcm, settings)
        write_columns(args.segments, table, SEGMENTS)
        minutes, unusable = samples.sum() / settings.sample_rate / 60, int((samples == 0).sum())
        log.info(
            "%d recordings (%.1f min) became %d windows; %d quarantined ones left out",
            len(names) - unusable, minutes, len(table["start"]), unusable,
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
