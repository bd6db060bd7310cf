"""Stage `curves`: plot the learning curves of a training, or how the weight decay of a head was chosen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autobird.core.files import read_json
from autobird.core.plots import BLUE, GREY, ORANGE, figure, save
from autobird.core.stage import parser, run, stage

_LOSSES = {
    "bce": "binary cross-entropy per window, nats",
    "focal": "focal loss per window",
    "asymmetric": "asymmetric loss per window",
}


def loss_name(train: Mapping[str, Any]) -> str:
    """Return the name of the loss of a network for an axis, from the section `train` of `model.json`."""
    is_softmax = train.get("outputs", "softmax") == "softmax"
    return "cross-entropy per window, nats" if is_softmax else _LOSSES[train["loss"]]


def curves_figure(path: Path, history: pd.DataFrame, selected: int, loss: str, has_teacher: bool = False) -> None:
    """Plot loss, validation macro-F1 and learning rate per epoch, and mark the epoch whose weights are saved.

    If the epoch is not selected by validation, only some epochs are validated.

    Args:
        path: PNG file.
        history: one row per epoch; `TrainingProgress.history`.
        selected: epoch whose weights are saved, counted from 1.
        loss: name of the loss (`loss_name`).
        has_teacher: whether the training loss contains the losses of the teacher's answers, which are no part of the validation loss.
    """
    validated = history[history["validation_loss"].notna()]
    fig, (left, right) = figure(10, 4, columns=2)
    training = "training (augmented, with the losses of the teacher)" if has_teacher else "training (augmented)"
    left.plot(history["epoch"], history["train_loss"], color=ORANGE, label=training)
    left.plot(validated["epoch"], validated["validation_loss"], "o-", markersize=3, color=BLUE, label="validation")
    left.set_ylabel(loss)
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
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
        ax.xaxis.get_major_locator().set_params(integer=True)
    save(fig, path)


def weight_decay_figure(path: Path, candidates: pd.DataFrame, selected: float, loss: str) -> None:
    """Plot the results of the inner cross-validation of a head by weight decay, and mark the weight decay that was used.

    If it is the smallest or largest one tried, the axes say so: a better one may lie beyond.

    Args:
        path: PNG file.
        candidates: one row per weight decay: columns weight_decay, loss, macro_f1; the first alone if it was given.
        selected: the weight decay of the head.
        loss: name of the loss in the table.
    """
    fig, axes = figure(10, 4, columns=2)
    names = {"loss": loss, "macro_f1": "macro-F1 of windows"}
    chosen = candidates["weight_decay"] == selected
    for ax, (column, name) in zip(axes, names.items(), strict=True):
        if column in candidates:
            ax.plot(candidates["weight_decay"], candidates[column], "o-", markersize=4, color=BLUE)
            ax.plot(candidates["weight_decay"][chosen], candidates[column][chosen], "o", markersize=9, color=ORANGE)
            ax.set_xscale("log")
            ax.set_xticks(candidates["weight_decay"], [f"{w:g}" for w in candidates["weight_decay"]])
            ax.minorticks_off()
            ax.set_xlabel(
                f"weight decay (orange: selected, {selected:g}{_end_of_range(candidates, selected)})\nlogarithmic scale"
            )
        else:
            text = "weight decay set in the configuration,\nso none was chosen"
            ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.set_xlabel(f"weight decay: {selected:g}")
        ax.set_ylabel(name)
    if "macro_f1" in candidates:
        axes[1].set_ylim(0, 1.02)
        fig.suptitle("weight decay: chosen inside the training recordings", fontsize=10)
    save(fig, path)


def _end_of_range(candidates: pd.DataFrame, selected: float) -> str:
    tried = candidates["weight_decay"]
    if len(tried) < 2 or tried.min() < selected < tried.max():
        return ""
    return f"; the {'largest' if selected == tried.max() else 'smallest'} tried"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--history", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("curves", args, [args.output]):
        history, model = pd.read_csv(args.history), read_json(args.model)
        if model["train"]["architecture"] == "head":
            # Candidates are compared by binary cross-entropy, whatever the loss of the training is.
            weight_decay_figure(
                args.output, history, model["weight_decay"], loss_name({**model["train"], "loss": "bce"})
            )
        else:
            curves_figure(args.output, history, model["epoch"], loss_name(model["train"]), "teacher" in model)


if __name__ == "__main__":
    run(main)
