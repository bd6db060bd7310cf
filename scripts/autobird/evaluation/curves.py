"""Stage `curves`: the learning curves of a training as a figure."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.files import read_json
from autobird.core.plots import BLUE, GREY, ORANGE, figure, save
from autobird.core.stage import parser, run, stage


def curves_figure(path: Path, history: pd.DataFrame, kept: int) -> None:
    """Loss, validation macro-F1 and learning rate by epoch; the epoch whose weights are kept is marked.

    Validation is known of some epochs only, where no epoch is chosen by it.
    """
    watched = history[history["validation_loss"].notna()]
    fig, (left, right) = figure(10, 4, columns=2)
    left.plot(history["epoch"], history["train_loss"], color=ORANGE, label="training (augmented)")
    left.plot(watched["epoch"], watched["validation_loss"], "o-", markersize=3, color=BLUE, label="validation")
    left.set_ylabel("cross-entropy by window, nats")
    left.legend()
    right.plot(watched["epoch"], watched["validation_macro_f1"], "o-", markersize=3, color=BLUE)
    right.set_ylabel("validation macro-F1 by window", color=BLUE)
    right.set_ylim(0, 1)
    rate = right.twinx()
    rate.plot(history["epoch"], history["learning_rate"], color=GREY, linewidth=1)
    rate.set_ylabel("learning rate", color=GREY)
    rate.spines["right"].set_visible(True)
    for ax in (left, right):
        ax.axvline(kept, color=GREY, linestyle=":", linewidth=1)
        ax.set_xlabel(f"epoch (kept: {kept})")
    save(fig, path)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--history", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("curves", args, [args.output]):
        curves_figure(args.output, pd.read_csv(args.history), read_json(args.model)["epoch"])


if __name__ == "__main__":
    run(main)
