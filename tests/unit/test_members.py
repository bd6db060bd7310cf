"""Members of a run: their configurations, their folders, and the members whose dataset they use."""

import pytest

from autobird.core.errors import AutobirdError
from autobird.members import crossval_ids, members_of, with_settings

RAW = {"run": {"name": "birds"}, "dataset": {"folds": 3, "min_windows": 2}, "train": {"seeds": [4, 9], "epochs": 2}}


def test_the_main_run_is_the_member_without_a_folder_and_has_the_given_configuration() -> None:
    main = members_of(RAW)[""]
    assert (main.id, main.prefix, main.dataset, main.dataset_prefix) == ("", "", "", "")
    assert main.config.dataset.fold is None
    assert main.config.train.seed == 4


def test_each_fold_has_one_dataset_that_the_trainings_with_all_seeds_use() -> None:
    members = {member.id: member for member in members_of(RAW).values()}
    assert set(members) == {"", *(f"fold{f}{s}" for f in range(3) for s in ("", ".seed4", ".seed9"))}
    member = members["fold2.seed9"]
    assert (member.dataset, member.prefix, member.dataset_prefix) == ("fold2", "members/fold2.seed9/", "members/fold2/")
    assert (member.config.dataset.fold, member.config.train.seed) == (2, 9)
    # All other settings are those of the run.
    assert (member.config.dataset.min_windows, member.config.train.epochs) == (2, 2)
    assert members["fold2"].dataset == "fold2"
    assert members["fold2"].config.dataset == member.config.dataset


def test_the_members_of_the_cross_validation_are_all_folds_with_all_seeds() -> None:
    members = members_of(RAW)
    ids = crossval_ids(members[""].config)
    assert ids == ["fold0.seed4", "fold0.seed9", "fold1.seed4", "fold1.seed9", "fold2.seed4", "fold2.seed9"]
    assert set(ids) <= {member.id for member in members.values()}


def test_a_replaced_setting_brings_the_defaults_that_depend_on_it() -> None:
    raw = with_settings({"train": {"epochs": 3}}, {"train": {"architecture": "cnn_transformer"}})
    config = members_of(raw)[""].config
    assert (config.train.epochs, config.train.batch_size) == (3, 32)
    assert with_settings({"train": None}, {"train": {"seed": 1}}) == {"train": {"seed": 1}}


def test_the_seeds_of_the_cross_validation_are_no_setting_of_a_training_or_of_a_bundle() -> None:
    one, two = (members_of({"train": {"seeds": seeds}})[""].config for seeds in ([1], [1, 2]))
    assert one.provenance() == two.provenance()


def test_a_seed_that_is_given_twice_is_an_error() -> None:
    with pytest.raises(AutobirdError, match=r"train: seeds \[4, 4\] contain a seed twice"):
        members_of({"train": {"seeds": [4, 4]}})
