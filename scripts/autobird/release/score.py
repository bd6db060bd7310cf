"""Stage `score`: the logits of one variant for every window of validation and test that the product would answer for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json
from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_table, write_table
from autobird.evaluation.predictions import PREDICTIONS, windows_to_predict
from autobird.predict.graph import Graph

SPLITS = ("validation", "test")

_BLOCK = 1024
"""Windows that are read from the shards at once."""


def logits_of(
    graph: Graph, windows: pd.DataFrame, shards: Sequence[NDArray[np.float16]], frames: int
) -> NDArray[np.float32]:
    """Logits of windows in their order, shape (windows, species).

    Args:
        graph: the variant.
        windows: columns shard, first_frame.
        shards: mel frames by batch.
        frames: of a window.
    """
    shard, first = windows["shard"].to_numpy(), windows["first_frame"].to_numpy()
    out = np.empty((len(windows), graph.species), np.float32)
    for at in range(0, len(windows), _BLOCK):
        part = [
            shards[s][f : f + frames] for s, f in zip(shard[at : at + _BLOCK], first[at : at + _BLOCK], strict=True)
        ]
        out[at : at + _BLOCK] = graph.logits(np.stack(part))
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--variant", type=Path, required=True, help="ONNX file")
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("score", args, [args.output]):
        model, index = read_json(args.model), read_table(args.index)
        windows = windows_to_predict(index, model["labels"])
        windows = windows[windows["split"].isin(SPLITS)].reset_index(drop=True)
        others = index[index["recording_split"].isin(SPLITS) & ~index["recording"].isin(windows["recording"])]
        if len(others):
            log.info(
                "left out: %d recordings that are quiet, or hold no species of the model",
                others["recording"].nunique(),
            )
        shards = [np.load(s, mmap_mode="r") for s in args.shards]
        found = logits_of(Graph(args.variant), windows, shards, model["frames"])
        wrong = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(wrong):
            first = windows.iloc[wrong[0]]
            raise AutobirdError(
                f"{args.variant}: the logits of {len(wrong)} windows are NaN or infinite, first those of {first['recording']} at "
                f"sample {first['start']}; look at that recording, and train with a lower train.learning_rate"
            )
        write_table(args.output, windows.assign(logits=list(found)), PREDICTIONS)
        log.info("%d windows of %d recordings", len(windows), windows["recording"].nunique())


if __name__ == "__main__":
    run(main)
