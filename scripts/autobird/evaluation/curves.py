"""Stage `curves`: plot the learning curves of a training."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.files import read_json
from autobird.core.plots import BLUE, GREY, ORANGE, figure, save
from autobird.core.stage import parser, run, stage


def curves_figure(path: Path, history: pd.DataFrame, selected: int) -> None:
    """Plot loss, validation macro-F1 and learning rate per epoch, and mark the epoch whose weights are saved.

    If the epoch is not selected by validation, only some epochs are validated.

    Args:
        path: PNG file.
        history: one row per epoch; `TrainingProgress.history`.
        selected: epoch whose weights are saved, counted from 1.
    """
    validated = history[history["validation_loss"].notna()]
    fig, (left, right) = figure(10, 4, columns=2)
    left.plot(history["epoch"], history["train_loss"], color=ORANGE, label="training (augmented)")
    left.plot(validated["epoch"], validated["validation_loss"], "o-", markersize=3, color=BLUE, label="validation")
    left.set_ylabel("cross-entropy per window, nats")
    left.legend()
    right.plot(validated["epoch"], validated["validation_macro_f1"], "o-", markersize=3, color=BLUE)
    right.set_ylabel("macro-F1 of validation windows", color=BLUE)
    right.set_ylim(0, 1)
    rate = right.twinx()
    rate.plot(history["epoch"], history["learning_rate"], color=GREY, linewidth=1)
    rate.set_ylabel("learning rate", color=GREY)
    rate.spines["right"].set_visible(True)
    for ax in (left, right):
        ax.axvline(selected, color=GREY, linestyle=":", linewidth=1)
        ax.set_xlabel(f"epoch (selected: {selected})")
    save(fig, path)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--history", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("curves", args, [args.output]):
        curves_figure(args.output, pd.read_csv(args.history), read_json(args.model)["epoch"])


if __name__ == "__main__":
    run(main)
