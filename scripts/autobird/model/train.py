"""Stage `train`: train a network on the windows of the training split, or resume an interrupted training."""

import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import safetensors.torch
import torch
from torch import nn

from autobird.audio.amplitude_scaling import scaling_of
from autobird.audio.settings import MelSettings
from autobird.audio.windows import frames_per_window
from autobird.core.files import read_json, write_bytes, write_json
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import write_csv
from autobird.model.checkpoint import Checkpointer, training_id
from autobird.model.data import WindowDataset, expected_presence
from autobird.model.distributed import ALONE, Processes, is_first_process, joined
from autobird.model.ensemble_teaching import with_answers
from autobird.model.launch import errors_reported, is_launcher, launch, without_log
from autobird.model.loop import Trainer
from autobird.model.networks import build_network, set_initial_bias
from autobird.model.outputs import check_outputs, check_windows, warn_of_species_without_windows
from autobird.model.precision import check_same_precision, make_deterministic, select_precision
from autobird.model.settings import TrainSettings
from autobird.model.teaching import TeachingFiles, add_arguments, teacher_description, teaching_of
from autobird.model.tracking import Tracker
from autobird.model.training_windows import training_windows


def fit(
    stage_name: str, trainer: Trainer, checkpointer: Checkpointer, tracker: Tracker | None = None
) -> dict[str, torch.Tensor]:
    """Run a training to its end, from its checkpoint if there is one.

    Each epoch is reported to the log, to the progress bar and to the tracker, by the first process if several share the training.

    Args:
        stage_name: stage that the progress bar shows.
        trainer: the training.
        checkpointer: of the training. Checkpoints of other trainings are removed at the end.
        tracker: W&B, or None.

    Returns:
        The selected weights; see `Trainer.run`.
    """
    checkpointer.resume()
    if trainer.processes.rank:
        return trainer.run(lambda: None, checkpointer.after_step)
    show_progress = Progress(stage_name, trainer.settings.epochs, "epochs", done=trainer.progress.epoch)

    def after_epoch() -> None:
        checkpointer.save()
        last = trainer.progress.history[-1]
        text = f"training loss {last['train_loss']:.3f}"
        if not math.isnan(last["validation_loss"]):
            text += f", validation loss {last['validation_loss']:.3f}, macro-F1 {last['validation_macro_f1']:.3f}"
        log.info("epoch %d: %s", last["epoch"], text)
        if tracker:
            tracker.log({name: value for name, value in last.items() if not math.isnan(value)})
        show_progress(trainer.progress.epoch, text)

    weights = trainer.run(after_epoch, checkpointer.after_step)
    checkpointer.remove_other_trainings()
    return weights


def add_inputs(p: ArgumentParser) -> None:
    """Add the arguments of the inputs of a training, which `trainer_of` uses."""
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--labels", type=Path, required=True)
    p.add_argument("--normalisation", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--front-end", required=True, help="mel settings of the shards, as JSON")
    add_arguments(p)
    p.add_argument("--ensemble-answers", type=Path, nargs="?", help="answers of an ensemble that teaches the network")


def trainer_of(
    args: Namespace,
    settings: TrainSettings,
    front_end: MelSettings,
    labels: list[str],
    files: TeachingFiles | None,
    processes: Processes = ALONE,
    build: Callable[[TrainSettings, int, float, float], nn.Module] = build_network,
) -> Trainer:
    """Return a training at its start.

    Args:
        args: arguments of `add_inputs`, of which `index`, `normalisation`, `shards` and `ensemble_answers` are used.
        settings: training settings.
        front_end: mel settings of the shards.
        labels: species in the order of the logits.
        files: of the teacher, if there is one.
        processes: processes that share the training.
        build: returns the network, from the arguments of `build_network`.

    Raises:
        AutobirdError: there are no windows to train on, or to select the epoch by, or the outputs do not fit the species.
    """
    frames = frames_per_window(front_end.window_samples, front_end.hop_length)
    check_outputs(settings.outputs, labels)
    norm = read_json(args.normalisation)
    softmax = settings.outputs == "softmax"
    train = training_windows(args.index, labels, args.shards, front_end, settings, processes)
    validation = WindowDataset.from_split(
        args.index, "validation", labels, args.shards, frames, scaling_of(front_end), softmax, processes
    )
    check_windows(len(train), "train")
    if settings.select == "best":
        check_windows(len(validation), "validation", ", or train.select to last")
    warn_of_species_without_windows(train.labels.present, labels)
    if args.ensemble_answers:
        train = with_answers(train, args.index, args.ensemble_answers, settings.outputs)

    compute = select_precision(settings)
    make_deterministic(settings.threads)
    torch.manual_seed(settings.seed)
    network = build(settings, len(labels), norm["mean"], norm["std"])
    if settings.outputs == "independent":
        set_initial_bias(network, expected_presence(train, settings))
    teaching = teaching_of(files, args.index, frames, network, settings, compute.device)
    return Trainer(network, train, validation, settings, compute, teaching, processes)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    add_inputs(p)
    p.add_argument("--code", default="", help="fingerprint of the code, part of the training's id")
    p.add_argument(
        "--checkpoints", required=True, help="folder or URL of the checkpoints, which are not an output of the stage"
    )
    p.add_argument("--track", choices=["none", "offline", "online"], default="none", help="log to W&B")
    p.add_argument("--group", default="", help="group of the training in W&B (default: the name of the run's folder)")
    p.add_argument("--teacher", nargs="?", help="settings of the teacher's backbone, as JSON")
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--history", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(TrainSettings, args.settings)
    if is_launcher(settings):
        launch("autobird.model.train", sys.argv[1:] if argv is None else argv, settings, args.log)
        return
    outputs = [args.weights, args.model, args.history]
    with errors_reported(), stage("train", args, outputs) if is_first_process() else without_log():
        compute = select_precision(settings)
        with joined(compute.device) as processes:
            check_same_precision(compute, processes)
            _train(args, settings, processes)


def _train(args: Namespace, settings: TrainSettings, processes: Processes) -> None:
    """Train in this process, alone or with others; the first one writes the outputs."""
    front_end = settings_of(MelSettings, args.front_end)
    labels: list[str] = read_json(args.labels)
    files = TeachingFiles.of(args)
    trainer = trainer_of(args, settings, front_end, labels, files, processes)
    network, train, validation, compute = trainer.network, trainer.train, trainer.validation, trainer.compute
    parameters = sum(weight.numel() for weight in network.parameters())
    log.info("%s, %d parameters, on %s in %s", settings.architecture, parameters, compute.device, compute.dtype)
    if processes.size > 1:
        log.info("%d processes on %d machines share the training", processes.size, settings.nodes)
    negative = int((~train.labels.present.any(axis=1)).sum())
    log.info(
        "%d training windows (%d of them negative), %d validation windows, %d species, %s outputs",
        len(train), negative, len(validation), len(labels), settings.outputs,
    )  # fmt: skip

    answers = [args.ensemble_answers] if args.ensemble_answers else []
    identifier = training_id(
        [args.settings, args.front_end, args.code, str(compute)],
        [args.index, args.labels, args.normalisation, *args.shards, *(files.all() if files else []), *answers],
    )
    checkpointer = Checkpointer(args.checkpoints, identifier, trainer)
    if processes.rank:
        fit("train", trainer, checkpointer)
        return
    folder = args.weights.parent.parent
    group = args.group or folder.name
    with Tracker(args.track, folder / ".wandb", identifier, group, args.settings) as tracker:
        weights = fit("train", trainer, checkpointer, tracker)

    write_bytes(args.weights, safetensors.torch.save(weights))
    write_csv(args.history, pd.DataFrame(trainer.progress.history))
    write_json(
        args.model,
        {
            "labels": labels,
            "outputs": settings.outputs,
            "features": front_end.model_dump(mode="json"),
            "frames": train.frames,
            "normalisation": read_json(args.normalisation),
            "parameters": parameters,
            "training_id": identifier,
            "epoch": trainer.progress.best_epoch if settings.select == "best" else settings.epochs,
            "train": settings.model_dump(mode="json"),
            **({"teacher": teacher_description(args.teacher, files)} if files else {}),
        },
    )


if __name__ == "__main__":
    run(main)
