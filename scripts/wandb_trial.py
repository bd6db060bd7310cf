"""Train one trial of a W&B sweep and log its scores; `wandb agent` starts this program (docs/sweep.md).

The values of the trial are arguments such as `--train.width=12`, as agents pass them. The trial is trained by the workflow, as a member
of the run like the trials of `snakemake sweep`, so that trainings which either of them has made are used again. Files of
`snakemake sweep` in `results/<run>/sweep` are not written.
"""

import argparse
import ast
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from snakemake.cli import parse_config
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from autobird.config import Config, load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import locked, read_json, write_json, write_text
from autobird.core.tables import read_table
from autobird.evaluation.metrics import Weighting, all_metrics
from autobird.evaluation.pooling import mean_over_seeds
from autobird.evaluation.settings import EvaluationSettings
from autobird.members import members_of, prefix_of
from autobird.sweep.definition import METRICS
from autobird.sweep.scores import Training, TrialFiles, pooled_by_seed
from autobird.sweep_members import Sweep, sweep_of

STATE = Path(".autobird/wandb_trials")
"""Folder of the configurations of the trials, and of the locks of agents that run at the same time."""


def read_values(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the value of each parameter of a trial from the arguments of an agent.

    W&B writes values as Python does (`True`, `None`, `1e-05`), and nested parameters as `--train={'width': 12}`.

    Raises:
        AutobirdError: an argument is no value, or there is none.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not (name.startswith("--") and equals):
            raise AutobirdError(
                f"{argument!r} is no value of a parameter; agents pass them as --train.width=12: use ${{args}} in the command of the sweep"
            )
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        values |= _flat(name.removeprefix("--"), value)
    if not values:
        raise AutobirdError("no value of a parameter was given; use ${args} in the command of the sweep")
    return values


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Return nested parameters with names such as `train.width`."""
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, Any] = {}
    for key, nested in value.items():
        found |= _flat(f"{name}.{key}", nested)
    return found


def read_run(configfiles: Sequence[str], settings: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of the run, as Snakemake reads it with these `--configfile` and `--config`.

    Raises:
        AutobirdError: a file or a setting cannot be read.
    """
    raw: dict[str, Any] = {}
    try:
        for file in ("config/config.yaml", *configfiles):
            update_config(raw, load_configfile(file))
        update_config(raw, parse_config(settings))
    except (OSError, WorkflowError, ValueError) as error:
        raise AutobirdError(
            f"{error}; start the agent in the folder of the project, and check --configfile and --config"
        ) from error
    return raw


def write_trial(raw: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[Sweep, Path]:
    """Write a trial as a sweep of its own.

    Args:
        raw: configuration of the run.
        values: of the trial.

    Returns:
        The sweep, which has the settings of the run and the trial, and the configuration of the run with this sweep.

    Raises:
        AutobirdError: a value is not valid.
    """
    # Other agents can be reading the files, so other content has another name.
    digest = hashlib.sha256(json.dumps([raw, values], sort_keys=True).encode()).hexdigest()[:16]
    file, config = STATE / f"{digest}.yaml", STATE / f"{digest}.config.json"
    parameters = {name: {"value": value} for name, value in values.items()}
    metric = {"name": next(iter(METRICS)), "goal": "maximize"}
    write_text(file, yaml.safe_dump({"method": "grid", "metric": metric, "parameters": parameters}))
    run = {**raw, "sweep": {**(raw.get("sweep") or {}), "file": str(file), "skip": []}}
    write_json(config, run)
    try:
        return sweep_of(run, load_config(run)), config
    except AutobirdError as error:
        # The values are those of W&B, not of a file that a user can change.
        raise AutobirdError(str(error).removeprefix(f"{file}: ")) from error


def trial_files(sweep: Sweep, raw: Mapping[str, Any]) -> tuple[TrialFiles, list[Path]]:
    """Return the files that a trial is scored by, and those of its networks: on all folds, if the run has folds in its sweep."""
    trial, results = sweep.trials[-1], Path("results") / sweep.main.run.name
    members = {member.id: member for member in [*sweep.members(), *members_of(raw).values()]}
    trainings, networks = [], []
    for fold, seed, name in sweep.trainings(trial.id, len(sweep.rungs)):
        member = members[name]
        # The single network of an ensemble has another name than the graph of the ensemble.
        graph = "network" if member.ensemble else "float"
        predictions = results / f"{prefix_of(name)}release/scores/{graph}.parquet"
        trainings.append(
            Training(fold or 0, seed, predictions, results / f"{member.dataset_prefix}dataset/labels.json")
        )
        networks += [results / f"{prefix_of(name)}model/{file}" for file in ("weights.safetensors", "model.json")]
    outputs = load_config(trial.raw).train.outputs
    return TrialFiles(trial.id, trial.values, outputs, trainings), networks


def workflow_environment() -> dict[str, str]:
    """Return the environment without the run of the agent: trainings that are tracked have runs of their own."""
    of_agent = ("WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RUN_ID", "WANDB_DIR", "WANDB_SERVICE")
    return {name: value for name, value in os.environ.items() if name not in of_agent}


def snakemake(config: Path, targets: Sequence[Path], options: Sequence[str]) -> None:
    """Make files with the workflow; if this process is stopped, the jobs are stopped, too.

    Raises:
        AutobirdError: the workflow failed.
    """
    command = [sys.executable, "-m", "snakemake", *map(str, targets), "--configfile", str(config), *options]
    # In a group of its own, which gets one signal for Snakemake and its jobs.
    process = subprocess.Popen(command, env=workflow_environment(), process_group=0)
    try:
        code = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        raise
    if code:
        raise AutobirdError(f"Snakemake ended with status {code}; its messages above say why: {shlex.join(command)}")


def train(trial: TrialFiles, networks: Sequence[Path], index: Path, config: Path, options: Sequence[str]) -> None:
    """Train and score a trial, unless this is done.

    Several agents can share a folder: one after the other makes what the trials have in common, if it is missing, and then they train
    at the same time.
    """
    targets = [index, *(training.predictions for training in trial.trainings)]
    with locked([STATE / "shared"]):
        snakemake(config, targets, ["--omit-from", *map(str, networks), *options])
    # The caller has a lock of the trial. With those of Snakemake 9.27, one that ends removes the folder of the locks of all, and one
    # that starts at this moment fails.
    snakemake(config, targets, ["--nolock", *options])


def scores(trial: TrialFiles, index: Path, settings: EvaluationSettings) -> dict[str, float]:
    """Return the metrics of a trial on validation recordings, as `snakemake sweep` computes them; without those that are not defined."""
    table = read_table(index, ["recording", "recording_split"])
    excluded = frozenset(table.loc[table["recording_split"] == "test", "recording"])
    labels = sorted({name for training in trial.trainings for name in read_json(training.labels)})
    seeds = pooled_by_seed(trial, labels, excluded, settings)
    if seeds[0].table.empty:
        raise AutobirdError(
            "no validation recording is left to score the trial on: all of them are test recordings of the run; use more recordings, or "
            "set sweep.validate_on to the other value"
        )
    weighting = Weighting.of(seeds[0].split.resamples(settings.resamples, settings.seed), seeds[0].split.recordings)
    by_seed = [all_metrics(seed.split.recordings, weighting) for seed in seeds]
    means = {name: float(mean_over_seeds([found[name] for found in by_seed]).values[0]) for name in METRICS}
    return {name: value for name, value in means.items() if not np.isnan(value)}


def evaluation_settings(config: Config) -> EvaluationSettings:
    """Return the settings that the scores of a sweep use."""
    return EvaluationSettings.model_validate_json(config.settings_json(EvaluationSettings, "evaluation"))


def run_trial(args: argparse.Namespace, values: Mapping[str, Any], log: Any) -> None:
    """Train a trial and log its scores to a run of W&B.

    Raises:
        AutobirdError: a value is not valid, or the training failed.
    """
    raw = read_run(args.configfile, args.config)
    sweep, config = write_trial(raw, values)
    trial, networks = trial_files(sweep, raw)
    name = sweep.main.run.name
    index = Path("results") / name / "dataset/index.parquet"
    log.config.update({"run": name, "trial": trial.id})
    # Two agents can get the same values: the second one waits, and uses the training of the first.
    with locked([STATE / f"{name}.{trial.id}"]):
        train(trial, networks, index, config, shlex.split(args.snakemake))
        found = scores(trial, index, evaluation_settings(sweep.main))
    log.log(found)
    for name in METRICS:
        print(f"{trial.id}: {name} {found[name]:.4f}" if name in found else f"{trial.id}: {name} is not defined")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    p = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--configfile", nargs="+", default=[], help="configuration files of the run, as for snakemake")
    p.add_argument("--config", nargs="+", default=[], help="settings of the run, as for snakemake")
    p.add_argument("--snakemake", default="", help='further options of snakemake, for example "--snakemake=--cores 4"')
    args, rest = p.parse_known_args(argv)
    try:
        values = read_values(rest)
        if not os.environ.get("WANDB_SWEEP_ID"):
            raise AutobirdError("`wandb agent` starts this program; docs/sweep.md has the commands")
        import wandb

        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        run, code = wandb.init(), 1
        try:
            run_trial(args, values, run)
            code = 0
        finally:
            run.finish(exit_code=code)
    except AutobirdError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
