"""Stage `score`: the logits of every kept window of every split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import safetensors.torch
from torch import nn

from autobird.core.files import read_json
from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_table, write_table
from autobird.model.data import Windows
from autobird.model.loop import logits_of
from autobird.model.networks import build
from autobird.model.precision import choose, deterministic
from autobird.model.settings import TrainSettings

PREDICTIONS = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.int64()),
        ("species", pa.string()),
        ("split", pa.string()),
        ("logits", pa.list_(pa.float32())),
    ]
)
"""One row a kept window, in the order of the index; `logits` in the order of the labels."""


def load(model: dict[str, Any], weights: Path) -> tuple[nn.Module, TrainSettings]:
    """The trained network on the CPU, from `model.json` and its weights."""
    settings = TrainSettings.model_validate(model["train"])
    norm = model["normalisation"]
    network = build(settings, len(model["labels"]), norm["mean"], norm["std"])
    network.load_state_dict(safetensors.torch.load_file(weights))
    return network, settings


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("score", args, [args.output]):
        model = read_json(args.model)
        network, settings = load(model, args.weights)
        compute = choose(settings)
        deterministic(settings.threads)
        index = read_table(args.index)
        index = index[index["dropped"] == ""].reset_index(drop=True)
        windows = Windows.of(index, model["labels"], args.shards, model["frames"])
        logits = logits_of(network.to(compute.device), windows, compute)
        table: pd.DataFrame = index[["recording", "start", "species", "split"]].assign(logits=list(logits))
        write_table(args.output, table, PREDICTIONS)
        log.info("%d windows scored on %s in %s", len(table), compute.device, compute.dtype)


if __name__ == "__main__":
    run(main)
