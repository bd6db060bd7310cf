"""The trials of a sweep as members of a run."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autobird.config import Config, load_config
from autobird.core.errors import AutobirdError
from autobird.head_keys import HEAD_KEYS
from autobird.members import Member, crossval_id, fold_id, seed_id, with_settings
from autobird.model.settings import TrainSettings
from autobird.sweep.definition import Definition, read_definition
from autobird.sweep.halving import count_kept, folds_of_rungs
from autobird.sweep.trials import Values, expand, trial_id

MAX_SWEEP_TRAININGS = 300
"""Largest number of trainings of a sweep: all of them may be ready to run at once."""

DEFAULTS = "defaults"
"""Name of the trial with the settings of the run."""

_SHARED = {
    "seed": "sweep.train_seeds gives the seeds",
    "seeds": "sweep.train_seeds gives the seeds",
    "ensemble": "trials are single networks",
    "device": "it does not change what is trained",
    "devices": "it does not change what is trained, and cores and GPUs are requested for the devices of the run",
    "nodes": "it does not change what is trained, and machines are requested for the nodes of the run",
    "teacher": "the sounds that a teacher answers are made once for the run",
    "teacher_windows": "the sounds that a teacher answers are made once for the run",
    "unlabelled": "the sounds that a teacher answers are made once for the run",
}
"""Keys of `train` that the trials of a run cannot differ in, and why."""

_TEACHER_KEYS = ("outputs", "hidden", "backbone_prior")
"""Keys of `train` that a student has in common with its teacher, which is trained once for the run."""


@dataclass(frozen=True)
class Trial:
    """Settings that a sweep tries.

    Attributes:
        id: `DEFAULTS`, or a hash of what differs from the settings of the run (`trial_id`).
        values: the value of each parameter of the sweep.
        raw: the configuration of the run with these values, as read from YAML.
    """

    id: str
    values: Values
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Sweep:
    """A sweep of a run.

    Attributes:
        definition: content of its file.
        trials: the trials but those of `sweep.skip`, that with the settings of the run first; trials with equal values are one.
        seeds: seeds of the trainings of each trial.
        rungs: folds on which the trials of each rung are compared; one rung without folds for the split of the run.
        main: configuration of the run.
    """

    definition: Definition
    trials: tuple[Trial, ...]
    seeds: tuple[int, ...]
    rungs: tuple[tuple[int, ...], ...]
    main: Config

    @property
    def folds(self) -> tuple[int | None, ...]:
        """The folds of the last rung; None alone for the split of the run."""
        return self.rungs[-1] or (None,)

    @property
    def most_trainings(self) -> int:
        """Largest number of trainings that are new on a rung, and so can be ready at once.

        With halving, a later rung can have more of them than the first one, because it adds more folds.
        """
        trials, folds_before, most = len(self.trials), 0, 0
        for folds in self.rungs:
            most = max(most, trials * len(self.seeds) * max(1, len(folds) - folds_before))
            folds_before = len(folds)
            trials = 1 + count_kept(trials - 1, self.main.sweep.keep or 1)
        return most

    def member_id(self, trial: str, fold: int | None, seed: int) -> str:
        """Return the id of the member that is a training of a trial. The trial with the settings of the run has members of the run."""
        if trial == DEFAULTS:
            return seed_id(seed, self.main) if fold is None else crossval_id(fold, seed)
        return f"{trial}.seed{seed}" if fold is None else f"{fold_id(fold)}.{trial}.seed{seed}"

    def trainings(self, trial: str, rung: int) -> list[tuple[int | None, int, str]]:
        """Return fold, seed and member of the trainings of a trial on a rung, which is counted from 1."""
        folds = self.rungs[rung - 1] or (None,)
        return [(fold, seed, self.member_id(trial, fold, seed)) for fold in folds for seed in self.seeds]

    def members(self) -> Iterator[Member]:
        """Yield the members that are trainings of the trials, in the order of the trials."""
        for trial in self.trials:
            for fold in self.folds:
                raw = trial.raw if fold is None else with_settings(trial.raw, {"dataset": {"fold": fold}})
                for seed in self.seeds:
                    config = load_config(with_settings(raw, {"train": {"seed": seed, "ensemble": "none"}}))
                    yield Member(self.member_id(trial.id, fold, seed), config, "" if fold is None else fold_id(fold))

    def description(self, trials: Sequence[str], rung: int) -> str:
        """Return what stage `sweep_rung` needs to know about trials, as JSON; see `TrialFiles`."""
        by_id = {trial.id: trial for trial in self.trials}
        return json.dumps(
            [
                {
                    "id": name,
                    "values": by_id[name].values,
                    "outputs": load_config(by_id[name].raw).train.outputs,
                    "trainings": [[fold, seed] for fold, seed, _ in self.trainings(name, rung)],
                }
                for name in trials
            ]
        )


def sweep_of(raw: Mapping[str, Any], main: Config) -> Sweep:
    """Return the sweep of a run.

    Args:
        raw: the configuration of the run, as read from YAML.
        main: the same, validated.

    Raises:
        AutobirdError: the file of the sweep is not valid, or one of its parameters or values, or `sweep.skip` has no trial of it.
    """
    settings = main.sweep
    path = Path(settings.file)
    definition = read_definition(path)
    by_split = settings.validate_on == "split"
    if by_split and settings.keep is not None:
        raise AutobirdError(
            f"sweep.keep {settings.keep:g} trains the best trials on further folds, and the sweep has none; set sweep.validate_on to "
            "folds, or remove sweep.keep"
        )
    for parameter in definition.parameters:
        _check_parameter(path, parameter.name, main)
    trials: dict[str, Trial] = {}
    unchanged = {p.name: getattr(main.train, p.name.removeprefix("train.")) for p in definition.parameters}
    trials[DEFAULTS] = Trial(DEFAULTS, unchanged, raw)
    for values in expand(definition, settings.random_seed):
        trial = _trial(path, values, raw, main)
        trials.setdefault(trial.id, trial)
    for name in settings.skip:
        if name == DEFAULTS or name not in trials:
            raise AutobirdError(
                f"sweep.skip: {name} is no trial of {path} that can be left out, which are {', '.join(sorted({*trials} - {DEFAULTS}))}; "
                "remove it"
            )
    trials = {name: trial for name, trial in trials.items() if name not in settings.skip}
    seeds = settings.train_seeds or (main.train.seed,)
    rungs = [()] if by_split else [tuple(folds) for folds in folds_of_rungs(main.dataset.folds, settings.keep)]
    return Sweep(definition, tuple(trials.values()), seeds, tuple(rungs), main)


def _check_parameter(path: Path, name: str, main: Config) -> None:
    """Check that the trials of a run can differ in a setting.

    Raises:
        AutobirdError: they cannot.
    """
    section, _, key = name.partition(".")
    if section != "train" or key not in {*TrainSettings.model_fields, "seeds", "ensemble"}:
        reason = (
            "there is no such key of the section train (config/README.md)"
            if section == "train"
            else "a sweep changes settings of the section train alone, because trials are compared on the same windows of the same "
            "recordings; compare runs with other features or datasets by `autobird compare`"
        )
        raise AutobirdError(f"{path}: parameters.{name}: {reason}")
    reasons = dict(_SHARED)
    if main.train.teacher:
        reasons |= dict.fromkeys(_TEACHER_KEYS, "the teacher has the same, and is trained once for the run")
    if key in reasons:
        raise AutobirdError(f"{path}: parameters.{name}: trials cannot differ in it: {reasons[key]}")


def _check_head_uses(path: Path, keys: Iterable[str]) -> None:
    """Check that a trial that is a head uses its parameters: it would be trained once for each value, with equal results.

    Args:
        path: file of the sweep.
        keys: keys of `train` that are parameters.

    Raises:
        AutobirdError: it does not use one of them.
    """
    for key in keys:
        if key not in {"architecture", *HEAD_KEYS}:
            usable = [name for name in HEAD_KEYS if name not in _SHARED]
            raise AutobirdError(
                f"{path}: parameters.train.{key}: it has no effect on a trial with train.architecture head; remove it, or replace it by a "
                f"parameter of a head: {', '.join(f'train.{name}' for name in usable)}"
            )


def _trial(path: Path, values: Values, raw: Mapping[str, Any], main: Config) -> Trial:
    """Return the trial with these values, after a check of its configuration.

    Raises:
        AutobirdError: a value is not valid, the trial needs a backbone and the run has none, or it is a head and does not use a
            parameter.
    """
    keys = {name.removeprefix("train."): value for name, value in values.items()}
    trial_raw = with_settings(raw, {"train": keys})
    try:
        config = load_config(trial_raw)
    except AutobirdError as error:
        raise AutobirdError(f"{path}: a trial is not valid: {error}") from error
    if config.uses_backbone and not main.uses_backbone:
        raise AutobirdError(
            f"{path}: a trial has train.architecture {config.train.architecture}, which needs a backbone, and the run has none; make "
            "it the architecture of the run"
        )
    if config.train.architecture == "head":
        _check_head_uses(path, keys)
    resolved = {f"train.{key}": getattr(config.train, key) for key in keys}
    changed = {
        name: value for name, value in resolved.items() if value != getattr(main.train, name.removeprefix("train."))
    }
    return Trial(trial_id(changed) if changed else DEFAULTS, resolved, trial_raw)
