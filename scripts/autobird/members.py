"""Members of a run: variations of its configuration that are computed beside the main run, in the same DAG of jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autobird.config import Config, load_config

MAX_CROSSVAL_MEMBERS = 300
"""Largest number of folds times seeds of a cross-validation: all these trainings may be ready to run at once, with the datasets of their
folds. Teachers, networks without a teacher and distilled networks are not counted."""


@dataclass(frozen=True)
class Member:
    """A variation of the configuration of a run. The main run is the member without a name.

    Attributes:
        id: name of its folder below `results/<run>/members`; empty for the main run, whose folder is `results/<run>`.
        config: its configuration.
        dataset: the member whose dataset it uses, by its id. Members that differ only in their training share a dataset.
        ensemble: ids of the members whose networks it averages, its own among them if it is one of them; empty: it is one network.
        taught_by: id of the ensemble whose answers its network learns; empty: of none.
    """

    id: str
    config: Config
    dataset: str
    ensemble: tuple[str, ...] = ()
    taught_by: str = ""

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


def seed_id(seed: int, config: Config) -> str:
    """Return the id of the member that is trained on the split of the run with a seed.

    This is the main run for its own seed, unless an ensemble teaches it.
    """
    return "" if seed == config.train.seed and config.train.ensemble != "distill" else f"seed{seed}"


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


def ensemble_id(fold: int) -> str:
    """Return the id of the member that is the ensemble of the networks of a cross-validation fold."""
    return f"{fold_id(fold)}.{ENSEMBLE}"


def distilled_id(fold: int) -> str:
    """Return the id of the member that learns from the ensemble of a cross-validation fold."""
    return f"{fold_id(fold)}.distilled"


def released_ids(config: Config) -> list[str]:
    """Return, for each fold, the member that is made like the released network of a run with an ensemble."""
    id_of = ensemble_id if config.train.ensemble == "average" else distilled_id
    return [id_of(fold) for fold in range(config.dataset.folds)]


ENSEMBLE = "ensemble"
"""Last part of the ids of members that are ensembles."""

TEACHER, SCRATCH = "teacher", "scratch"
"""Ids of the members beside a student, for comparison: its teacher, and the same network without a teacher."""

_STUDENT_KEYS = ("teacher", "teacher_windows", "teacher_only", "teacher_batch", "unlabelled")
"""Keys of `train` that only a student uses."""

_HEAD_KEYS = ("hidden", "backbone_prior", "seed")
"""Keys of `train` that a student's configuration can hold for its teacher. The others are meant for the student."""


def teacher_id(member_id: str) -> str:
    """Return the id of the teacher of a student; the students of a split or a cross-validation fold have the same."""
    split = member_id.split(".")[0]
    return f"{split}.{TEACHER}" if split.startswith("fold") else TEACHER


def scratch_id(member_id: str) -> str:
    """Return the id of the network without a teacher that a student is compared with."""
    return f"{member_id}.{SCRATCH}" if member_id else SCRATCH


def teacher_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the teacher of a student with the configuration `raw`; both have the same outputs."""
    train = raw.get("train") or {}
    head = {key: train[key] for key in _HEAD_KEYS if key in train}
    return {**raw, "train": {"architecture": "head", "outputs": load_config(raw).train.outputs, **head}}


def scratch_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the network without a teacher that a student with the configuration `raw` is compared with."""
    train = {key: value for key, value in (raw.get("train") or {}).items() if key not in _STUDENT_KEYS}
    return {**raw, "train": train}


def members_of(raw: Mapping[str, Any]) -> dict[str, Member]:
    """Return all members of a run, the main run first, by their prefixes.

    Args:
        raw: the configuration of the main run, as read from YAML. The settings of a member replace keys of it before the
            validation, so that defaults that depend on a replaced key are those of the member.

    Raises:
        AutobirdError: a configuration is not valid.
    """
    main = load_config(raw)
    is_student = main.train.teacher is not None
    mode, seeds = main.train.ensemble, main.train.seeds
    networks = tuple(seed_id(seed, main) for seed in seeds)
    members = [Member("", main, "", networks if mode == "average" else (), ENSEMBLE if mode == "distill" else "")]
    if mode != "none":
        for seed, name in zip(seeds, networks, strict=True):
            if name:
                members.append(Member(name, load_config(with_settings(raw, {"train": {"seed": seed}})), ""))
    if mode == "distill":
        members.append(Member(ENSEMBLE, main, "", networks))
    if is_student:
        members.append(Member(TEACHER, load_config(teacher_settings(raw)), ""))
        members.append(Member(SCRATCH, load_config(scratch_settings(raw)), ""))
    for fold in range(main.dataset.folds):
        data, dataset = with_settings(raw, {"dataset": {"fold": fold}}), fold_id(fold)
        members.append(Member(dataset, load_config(data), dataset))
        if is_student:
            members.append(Member(teacher_id(dataset), load_config(teacher_settings(data)), dataset))
        for seed in main.train.seeds:
            seeded, name = with_settings(data, {"train": {"seed": seed}}), crossval_id(fold, seed)
            members.append(Member(name, load_config(seeded), dataset))
            if is_student:
                members.append(Member(scratch_id(name), load_config(scratch_settings(seeded)), dataset))
        if mode != "none":
            of_fold = tuple(crossval_id(fold, seed) for seed in seeds)
            members.append(Member(ensemble_id(fold), load_config(data), dataset, of_fold))
        if mode == "distill":
            members.append(Member(distilled_id(fold), load_config(data), dataset, (), ensemble_id(fold)))
    _check_ensembles(members)
    return {member.prefix: member for member in members}


def _check_ensembles(members: Sequence[Member]) -> None:
    """Check that the networks of each ensemble, and that which learns from it, have the dataset that the ensemble is scored on.

    Those of another fold would have been trained on its test recordings.

    Raises:
        ValueError: they were not.
    """
    by_id = {member.id: member for member in members}
    for member in members:
        for name in (*member.ensemble, *([member.taught_by] if member.taught_by else [])):
            if by_id[name].dataset != member.dataset:
                raise ValueError(
                    f"{member.id!r} uses the dataset {member.dataset!r} and {name!r}, which it is made with, another one"
                )


def with_settings(raw: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a configuration in which some keys of some sections have other values.

    Args:
        raw: a configuration, as read from YAML.
        settings: the new values, by section and key.
    """
    return {**raw, **{section: {**(raw.get(section) or {}), **values} for section, values in settings.items()}}
