"""Stage `train`: learn the species from the training windows, resuming where a killed run stopped."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import safetensors.torch
import torch

from autobird.audio.amplitude_scaling import scaling_of
from autobird.audio.settings import MelSettings
from autobird.audio.windows import frames_per_window
from autobird.core.files import read_json, write_bytes, write_json
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import write_csv
from autobird.model.checkpoint import Checkpoints, fingerprint
from autobird.model.data import Windows
from autobird.model.loop import Trainer
from autobird.model.networks import build
from autobird.model.precision import choose, deterministic
from autobird.model.settings import TrainSettings
from autobird.model.tracking import Tracker


def fit(
    name: str, trainer: Trainer, checkpoints: Checkpoints, tracker: Tracker | None = None
) -> dict[str, torch.Tensor]:
    """Train to the end from the checkpoint, if there is one, telling the log and the terminal; return the weights."""
    checkpoints.resume()
    progress = Progress(name, trainer.settings.epochs, "epochs", done=trainer.at.epoch)

    def after_epoch() -> None:
        checkpoints.save()
        last = trainer.at.history[-1]
        text = f"training loss {last['train_loss']:.3f}"
        if not math.isnan(last["validation_loss"]):
            text += f", validation loss {last['validation_loss']:.3f}, macro-F1 {last['validation_macro_f1']:.3f}"
        log.info("epoch %d: %s", last["epoch"], text)
        if tracker:
            tracker.log({name: value for name, value in last.items() if not math.isnan(value)})
        progress(trainer.at.epoch, text)

    weights = trainer.run(after_epoch, checkpoints.after_step)
    checkpoints.remove_others()
    return weights


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--labels", type=Path, required=True)
    p.add_argument("--normalisation", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--front-end", required=True, help="the mel settings of the shards, as JSON")
    p.add_argument("--code", default="", help="fingerprint of the code, part of the checkpoint's name")
    p.add_argument("--checkpoints", required=True, help="folder or URL of checkpoints, not an output")
    p.add_argument("--track", choices=["none", "offline", "online"], default="none", help="log to W&B")
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--history", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(TrainSettings, args.settings)
    with stage("train", args, [args.weights, args.model, args.history]):
        front_end = settings_of(MelSettings, args.front_end)
        frames = frames_per_window(front_end.window_samples, front_end.hop_length)
        labels: list[str] = read_json(args.labels)
        norm = read_json(args.normalisation)
        train, validation = (
            Windows.of_split(args.index, split, labels, args.shards, frames, scaling_of(front_end))
            for split in ("train", "validation")
        )

        compute = choose(settings)
        deterministic(settings.threads)
        torch.manual_seed(settings.seed)
        network = build(settings, len(labels), norm["mean"], norm["std"])
        trainer = Trainer(network, train, validation, len(labels), settings, compute)
        parameters = sum(q.numel() for q in network.parameters())
        log.info("%s, %d parameters, on %s in %s", settings.architecture, parameters, compute.device, compute.dtype)
        log.info("%d windows to train on, %d to validate, %d species", len(train), len(validation), len(labels))

        name = fingerprint(
            [args.settings, args.front_end, args.code, str(compute)],
            [args.index, args.labels, args.normalisation, *args.shards],
        )
        checkpoints = Checkpoints(args.checkpoints, name, trainer)
        run_folder = args.weights.parent.parent
        with Tracker(args.track, run_folder / ".wandb", name, run_folder.name, args.settings) as tracker:
            weights = fit("train", trainer, checkpoints, tracker)

        write_bytes(args.weights, safetensors.torch.save(weights))
        write_csv(args.history, pd.DataFrame(trainer.at.history))
        write_json(
            args.model,
            {
                "labels": labels,
                "features": front_end.model_dump(mode="json"),
                "frames": frames,
                "normalisation": norm,
                "parameters": parameters,
                "epoch": trainer.at.best_epoch if settings.select == "best" else settings.epochs,
                "train": settings.model_dump(mode="json"),
            },
        )


if __name__ == "__main__":
    run(main)
