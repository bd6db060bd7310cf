"""Stage `ensemble_answers`: compute the logits of an ensemble for the training windows, which a network then learns."""

from collections.abc import Sequence
from pathlib import Path

from autobird.core.files import read_json
from autobird.core.memory_maps import memory_maps
from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_table, write_table_with_vectors
from autobird.model.ensemble_teaching import ANSWERS
from autobird.predict.graph import Graph
from autobird.release.score import logits_of


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--graph", type=Path, required=True, help="ONNX file of the ensemble")
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("ensemble_answers", args, [args.output]):
        model = read_json(args.model)
        index = read_table(args.index, ["recording", "start", "shard", "first_frame", "dropped", "split"])
        windows = index[(index["dropped"] == "") & (index["split"] == "train")].reset_index(drop=True)
        shards = memory_maps(args.shards)
        logits = logits_of(Graph(args.graph), windows, shards, model["frames"])
        write_table_with_vectors(args.output, windows, "logits", logits, ANSWERS)
        log.info("answers to %d training windows", len(windows))


if __name__ == "__main__":
    run(main)
