"""Stage `score`: compute the logits of one variant for the windows of the validation and test splits."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json
from autobird.core.memory_maps import memory_maps
from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_table, read_tables, write_table_with_vectors
from autobird.dataset.schemas import INDEX
from autobird.evaluation.predictions import (
    PREDICTIONS,
    UNTRAINED_SPLIT,
    quiet_negative_windows,
    untrained_windows,
    windows_of_others,
    windows_to_predict,
    with_sound,
)
from autobird.model.embeddings import read_embeddings
from autobird.predict.graph import Graph

SPLITS = ("validation", "test")
"""Splits whose windows are scored; those of species that the model does not know get a split of their own (`OTHERS_SPLITS`)."""

_COLUMNS = [
    *(name for name in PREDICTIONS.names if name in INDEX.names), "shard", "row", "first_frame", "dropped", "quiet", "recording_split",
]  # fmt: skip
"""Columns of the index that are needed."""

_BLOCK = 1024
"""Number of windows that are read from the shards or the embeddings at a time."""


def logits_of_embeddings(
    graph: Graph, windows: pd.DataFrame, embeddings: Sequence[Path]
) -> Iterator[NDArray[np.float32]]:
    """Yield the logits that a head computes for windows, in the order of `windows`, in blocks of shape (windows, species).

    Args:
        graph: the head.
        windows: columns recording, start, shard, row.
        embeddings: arrays of all batches.
    """
    for start in range(0, len(windows), _BLOCK):
        yield graph.logits(read_embeddings(windows.iloc[start : start + _BLOCK], embeddings))


def logits_of(
    graph: Graph, windows: pd.DataFrame, shards: Sequence[NDArray[np.float16]], frames: int
) -> Iterator[NDArray[np.float32]]:
    """Yield the logits of windows, in the order of `windows`, in blocks of shape (windows, species).

    Args:
        graph: the variant.
        windows: columns shard, first_frame.
        shards: mel frames of each batch; shape (frames, mels).
        frames: number of frames per window.
    """
    shard, first = windows["shard"].to_numpy(), windows["first_frame"].to_numpy()
    for start in range(0, len(windows), _BLOCK):
        block = slice(start, start + _BLOCK)
        part = [shards[s][f : f + frames] for s, f in zip(shard[block], first[block], strict=True)]
        yield graph.logits(np.stack(part))


def checked(
    blocks: Iterable[NDArray[np.float32]], windows: pd.DataFrame, variant: Path
) -> Iterator[NDArray[np.float32]]:
    """Yield the blocks of logits of `windows`.

    Raises:
        AutobirdError: logits of a block are NaN or infinite; the message names the variant and the first recording.
    """
    at = 0
    for logits in blocks:
        invalid = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(invalid):
            first = windows.iloc[at + invalid[0]]
            raise AutobirdError(
                f"{variant}: the logits of {len(invalid)} of the first {at + len(logits)} windows are NaN or infinite, first those of "
                f"{first['recording']} at sample {first['start']}; look at that recording, and train with a lower train.learning_rate"
            )
        at += len(logits)
        yield logits


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--variant", type=Path, required=True, help="ONNX file")
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument(
        "--shards", type=Path, nargs="+", required=True, help="mel frames of all batches; for a head, their embeddings"
    )
    p.add_argument("--recordings", type=Path, nargs="+", required=True, help="tables of the decoded recordings")
    p.add_argument("--output", type=Path, required=True)
    p.add_argument(
        "--untrained", action="store_true", help="also score test recordings of species without a window in training"
    )
    args = p.parse_args(argv)
    with stage("score", args, [args.output]):
        model = read_json(args.model)
        durations = read_tables(args.recordings, ["recording", "duration"]).set_index("recording")["duration"]
        index = with_sound(read_table(args.index, _COLUMNS), durations, model["features"]["sample_rate"])
        windows = windows_to_predict(index, model["labels"])
        windows = windows[windows["split"].isin(SPLITS)].reset_index(drop=True)
        others = windows_of_others(index, model["labels"])
        if args.untrained:
            untrained = untrained_windows(index, model["labels"])["recording"]
            others.loc[others["recording"].isin(untrained), "split"] = UNTRAINED_SPLIT
        windows = pd.concat([windows, others], ignore_index=True)
        excluded = index[index["recording_split"].isin(SPLITS) & ~index["recording"].isin(windows["recording"])]
        if len(excluded):
            log.info(
                "excluded %d recordings in which all windows are quiet",
                excluded["recording"].nunique(),
            )
        graph = Graph(args.variant)
        if graph.is_head:
            logits = logits_of_embeddings(graph, windows, args.shards)
        else:
            logits = logits_of(graph, windows, memory_maps(args.shards), model["frames"])
        quiet = quiet_negative_windows(index, model["labels"])
        table = pd.concat([windows, quiet], ignore_index=True)
        write_table_with_vectors(args.output, table, "logits", checked(logits, windows, args.variant), PREDICTIONS)
        log.info("scored %d windows of %d recordings", len(windows), windows["recording"].nunique())


if __name__ == "__main__":
    run(main)
