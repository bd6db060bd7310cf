"""Members of a run: variations of its configuration that are computed beside the main run, in the same DAG of jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autobird.config import Config, load_config

MAX_CROSSVAL_MEMBERS = 300
"""Largest number of trainings of a cross-validation: all of them may be ready to run at once, with the datasets of their folds."""


@dataclass(frozen=True)
class Member:
    """A variation of the configuration of a run. The main run is the member without a name.

    Attributes:
        id: name of its folder below `results/<run>/members`; empty for the main run, whose folder is `results/<run>`.
        config: its configuration.
        dataset: the member whose dataset it uses, by its id. Members that differ only in their training share a dataset.
    """

    id: str
    config: Config
    dataset: str

    @property
    def prefix(self) -> str:
        """Path of its folder, relative to that of the run, with a slash at the end; empty for the main run."""
        return prefix_of(self.id)

    @property
    def dataset_prefix(self) -> str:
        """Path of the folder of the member whose dataset it uses; see `prefix`."""
        return prefix_of(self.dataset)


def prefix_of(member_id: str) -> str:
    """Return the value of the wildcard `member` in the paths of a member: `members/<id>/`, or nothing for the main run."""
    return f"members/{member_id}/" if member_id else ""


def fold_id(fold: int) -> str:
    """Return the id of the member that holds the dataset of a cross-validation fold."""
    return f"fold{fold}"


def crossval_id(fold: int, seed: int) -> str:
    """Return the id of the member that is trained on a cross-validation fold with a seed."""
    return f"fold{fold}.seed{seed}"


def fold_ids(config: Config) -> list[str]:
    """Return the ids of the members that hold the datasets of the folds, in the order of the folds."""
    return [fold_id(fold) for fold in range(config.dataset.folds)]


def crossval_folds_and_seeds(config: Config) -> list[tuple[int, int]]:
    """Return fold and seed of each training of a cross-validation."""
    return [(fold, seed) for fold in range(config.dataset.folds) for seed in config.train.seeds]


def crossval_ids(config: Config) -> list[str]:
    """Return the ids of the members whose predictions `snakemake crossval` pools, as in `crossval_folds_and_seeds`."""
    return [crossval_id(fold, seed) for fold, seed in crossval_folds_and_seeds(config)]


def members_of(raw: Mapping[str, Any]) -> dict[str, Member]:
    """Return all members of a run, the main run first, by their prefixes.

    Args:
        raw: the configuration of the main run, as read from YAML. The settings of a member replace keys of it before the
            validation, so that defaults that depend on a replaced key are those of the member.

    Raises:
        AutobirdError: a configuration is not valid.
    """
    main = load_config(raw)
    members = [Member("", main, "")]
    for fold in range(main.dataset.folds):
        data = with_settings(raw, {"dataset": {"fold": fold}})
        members.append(Member(fold_id(fold), load_config(data), fold_id(fold)))
        members += [
            Member(crossval_id(fold, seed), load_config(with_settings(data, {"train": {"seed": seed}})), fold_id(fold))
            for seed in main.train.seeds
        ]
    return {member.prefix: member for member in members}


def with_settings(raw: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a configuration in which some keys of some sections have other values.

    Args:
        raw: a configuration, as read from YAML.
        settings: the new values, by section and key.
    """
    return {**raw, **{section: {**(raw.get(section) or {}), **values} for section, values in settings.items()}}
