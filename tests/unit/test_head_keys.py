"""The note about keys of `train` that were given and have no effect on a head."""

from typing import Any

import pytest

from autobird.config import load_config
from autobird.head_keys import HEAD_KEYS, head_notes
from autobird.model.settings import TrainSettings

LICENCES = {"corpus": {"licences": {"train": ["BY-NC-SA"]}}}


def notes(**train: Any) -> list[str]:
    raw = {**LICENCES, "train": train}
    return head_notes(raw, load_config(raw))


def test_given_keys_without_effect_are_named_with_those_that_a_head_uses() -> None:
    used = (
        "of the section train, a head uses only outputs, loss, negative_share, hidden, backbone_prior, seed, weight_decay, "
        "label_smoothing, sampler, seeds and ensemble"
    )
    assert notes(architecture="head", width=24) == [
        f"train.width has no effect, because train.architecture is head; {used}"
    ]
    assert notes(epochs=3, architecture="head", hidden=8, threads=1, roll=False) == [
        f"train.epochs, train.threads and train.roll have no effect, because train.architecture is head; {used}"
    ]


@pytest.mark.parametrize(
    "train",
    [
        {"architecture": "head"},
        {"architecture": "head", "outputs": "softmax"},
        {"architecture": "head", "width": 16, "teacher": None},
        {"architecture": "head", "hidden": 8, "seed": 5, "seeds": [5, 6], "ensemble": "average", "sampler": "uniform", "weight_decay": 1},
        {"width": 24},
        {"width": 24, "teacher": "birdnet-2.4"},
    ],
    ids=["defaults", "recipe of softmax", "values of the defaults", "used", "no head", "a student, whose teacher is a head"],
)  # fmt: skip
def test_there_is_no_note_about_keys_that_are_used_or_have_their_defaults(train: dict[str, Any]) -> None:
    assert notes(**train) == []


def test_there_is_no_note_without_the_section() -> None:
    assert head_notes({}, load_config({})) == []
    assert head_notes({"train": None}, load_config({"train": {"architecture": "head"}, **LICENCES})) == []


def test_the_reference_names_the_keys_that_a_head_uses() -> None:
    description = TrainSettings.model_fields["architecture"].description or ""
    named = description.split("only the keys ")[1].split(";")[0]
    assert named.replace(" and ", ", ").split(", ") == [f"`{key}`" for key in HEAD_KEYS]
