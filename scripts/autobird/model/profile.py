"""Stage `profile`: measure where the time of a training goes, with some of its steps."""

import gzip
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from autobird.audio.settings import MelSettings
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, scratch, write_bytes, write_text
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import write_csv
from autobird.dataset.label_sets import LabelSets
from autobird.model.data import WindowDataset
from autobird.model.loop import VALIDATION_INTERVAL, Trainer
from autobird.model.profile_report import profile_figure, summary
from autobird.model.profile_tables import Profile, operators_table, parts_table
from autobird.model.settings import TrainSettings
from autobird.model.teaching import TeachingFiles
from autobird.model.train import add_inputs, trainer_of
from autobird.model.validation import loss_and_macro_f1

WAIT, WARM_UP, ACTIVE, REPEAT = 2, 2, 6, 2
"""Steps of a cycle that are not profiled, that are profiled and thrown away (the start of the profiler takes time), and that count; and the
number of cycles."""

_STEPS = (WAIT + WARM_UP + ACTIVE) * REPEAT

_VALIDATION_WINDOWS = 256
"""Windows of the validation that is profiled in the last step of each cycle."""

_COMPRESSION = 6


class _Finished(Exception):
    """The schedule of the profiler is complete."""


def first_windows(windows: WindowDataset, count: int) -> WindowDataset:
    """Return the first `count` windows of a dataset."""
    labels = LabelSets(windows.labels.present[:count], windows.labels.known[:count])
    return replace(
        windows,
        shard=windows.shard[:count],
        first_frame=windows.first_frame[:count],
        recording=windows.recording[:count],
        labels=labels,
        room=None if windows.room is None else windows.room[:count],
    )


def profile_steps(trainer: Trainer, on_cycle: Callable[[Any], None], details: bool) -> None:
    """Train for the steps of the schedule under torch's profiler, with a validation at the end of each cycle.

    Args:
        trainer: a training with enough epochs; it is left after the last step.
        on_cycle: called after each cycle with the profiler, which holds the events of the cycle.
        details: record the shapes of the arguments, memory and Python stacks, too. Recording them takes time, so the times are then longer.
    """
    activities = [ProfilerActivity.CPU]
    if trainer.compute.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    plan = schedule(wait=WAIT, warmup=WARM_UP, active=ACTIVE, repeat=REPEAT)
    done = 0
    with profile(
        activities=activities,
        schedule=plan,
        on_trace_ready=on_cycle,
        record_shapes=details,
        profile_memory=details,
        with_stack=details,
    ) as profiler:

        def after_step() -> None:
            nonlocal done
            done += 1
            if done % (WAIT + WARM_UP + ACTIVE) == 0 and len(trainer.validation):
                loss_and_macro_f1(trainer.ema_network, trainer.validation, trainer.settings, trainer.compute)
            profiler.step()
            if done == _STEPS:
                raise _Finished

        try:
            trainer.run(lambda: None, after_step)
        except _Finished:
            return


def _profiled_trainer(args: Namespace, settings: TrainSettings, front_end: MelSettings) -> tuple[Trainer, int]:
    """Return a training at its start whose validation is short, and the number of validation windows of the real one."""
    # Enough epochs for the schedule; an epoch has at least one step.
    enough = settings.model_copy(update={"epochs": max(settings.epochs, _STEPS)})
    trainer = trainer_of(args, enough, front_end, read_json(args.labels), TeachingFiles.of(args))
    validation_windows = len(trainer.validation)
    trainer.validation = first_windows(trainer.validation, _VALIDATION_WINDOWS)
    return trainer, validation_windows


def _processes(settings: TrainSettings) -> str:
    """Say in how many processes the profiled steps ran; the training itself can have more."""
    processes = settings.devices * settings.nodes
    return "1" if processes == 1 else f"1 with the whole batch; the training divides it among {processes}"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    add_inputs(p)
    p.add_argument("--trace", type=Path, required=True)
    p.add_argument("--parts", type=Path, required=True)
    p.add_argument("--operators", type=Path, required=True)
    p.add_argument("--summary", type=Path, required=True)
    p.add_argument("--figure", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(TrainSettings, args.settings)
    if settings.architecture == "head":
        raise AutobirdError(
            "train.architecture is head, and a head is not trained in steps: there is nothing to profile"
        )
    with stage("profile", args, [args.trace, args.parts, args.operators, args.summary, args.figure]):
        front_end = settings_of(MelSettings, args.front_end)
        times, details = Profile(), Profile()
        trainer, validation_windows = _profiled_trainer(args, settings, front_end)
        profile_steps(trainer, lambda profiler: times.add(profiler.events()), details=False)
        log.info("times: %d steps in %s on %s", times.steps, trainer.compute.dtype, trainer.compute.device)

        with scratch(args.trace) as folder:
            last_cycle = folder / "trace.json"

            def keep(profiler: Any) -> None:
                details.add(profiler.events())
                profiler.export_chrome_trace(str(last_cycle))

            trainer, _ = _profiled_trainer(args, settings, front_end)
            profile_steps(trainer, keep, details=True)
            write_bytes(args.trace, gzip.compress(last_cycle.read_bytes(), _COMPRESSION, mtime=0))

        interval = 1 if settings.select == "best" else VALIDATION_INTERVAL
        scale = validation_windows / max(1, len(trainer.validation)) / interval
        parts = parts_table(times, trainer.steps_per_epoch, scale)
        operators = operators_table(times, details)
        text = summary(
            parts,
            operators,
            {
                "network": settings.architecture,
                "device": str(trainer.compute.device),
                "number format": str(trainer.compute.dtype).removeprefix("torch."),
                "CPU threads": str(torch.get_num_threads()),
                "processes": _processes(settings),
                "windows per step": str(settings.batch_size),
                "steps per epoch": str(trainer.steps_per_epoch),
                "validations": f"every {interval} epochs, {validation_windows} windows"
                if interval > 1
                else "every epoch",
                "profiled steps": f"{times.steps}, {times.step_us / 1000 / max(1, times.steps):.1f} ms each with validation",
            },
            times.kernel_share if times.kernel_us else None,
        )
        write_text(args.summary, text)
        write_csv(args.parts, parts.round(6))
        write_csv(args.operators, operators.round(6))
        profile_figure(args.figure, parts, operators)
        log.info("%s", text.split("\n\n")[1])


if __name__ == "__main__":
    run(main)
