"""Lines of the model card about the networks: the one in the bundle, its backbone, and its teacher."""

from typing import Any

import pandas as pd

from autobird.backbone.base import BackboneInfo
from autobird.core.wording import counted
from autobird.predict.backbone import how_to_install
from autobird.release.card_detections import score_with_interval
from autobird.release.sizes import size_text


def variant_sentences(released: str, backbone: BackboneInfo | None) -> str:
    """Describe the network in the bundle."""
    if backbone:
        return (
            f"It consists of a pretrained network, the backbone {backbone.name}, which turns sound into embeddings, and of a head, a "
            "small classifier of these embeddings that was trained on the recordings below. The bundle holds the head only, as the "
            "float32 variant."
        )
    return (
        f"The bundle holds variant `{released}`: `float` is the trained float32 network, `pruned` has fewer channels, `int8` computes "
        "with 8-bit integers, `pruned_int8` has both changes."
    )


def backbone_lines(backbone: BackboneInfo, known: int, row: pd.Series) -> list[str]:
    """Describe the backbone: what it is, its licence, and how to install it.

    Args:
        backbone: the backbone.
        known: number of species whose own weights of the backbone the head contains.
        row: of this model in `comparison.csv`.
    """
    part = f", and contains weights of its last layer for {known} of the species" if known else ""
    return [
        "## Backbone",
        "",
        f"- Name: {backbone.name}; source: {backbone.source or 'not recorded'}",
        f"- Input: windows of {backbone.window:g} s at {backbone.sample_rate} Hz; embedding: {backbone.width} values",
        f"- Licence: {backbone.licence}. The head was trained on the output of the backbone{part}, so this licence applies to the "
        "bundle, too.",
        f"- File: sha256 `{backbone.sha256}`; predictions with any other file are refused",
        f"- Installation: the bundle does not contain it. {how_to_install(backbone)}",
        f"- Cost per window: {_multiply_adds(row)}; nearly all of the time is spent in the backbone. Its file has "
        f"{size_text(row['backbone_bytes'])}, that of the head {size_text(row['bytes'])}. `latency.json` of the run and "
        "docs/backbones.md give measured speeds.",
        "- Recordings at less than half of its sampling rate lack the high frequencies that it was trained with; `autobird predict` "
        "marks them with a note.",
        "",
    ]


def teacher_lines(teacher: dict[str, Any], comparison: pd.DataFrame) -> list[str]:
    """Describe the teacher of a student: what it is, its licence, and what the student gains from it and loses against it."""
    test = comparison[comparison["split"] == "test"].set_index("variant")
    scores = [
        f"{text} {score_with_interval(*(test.loc[name, f'macro_f1{end}'] for end in ('', '_low', '_high')))}"
        for name, text in (
            ("teacher", "the teacher"),
            ("float", "this network"),
            ("scratch", "the same network without a teacher"),
        )
        if name in test.index
    ]
    return [
        "## Teacher",
        "",
        f"- The network was taught by a pretrained network: besides the labels, it learnt the answers of {teacher['name']} with a head to "
        "sounds made of the training recordings. It does not need that network, and the bundle does not contain it.",
        *_unlabelled_line(teacher["unlabelled_recordings"]),
        f"- Source: {teacher['source'] or 'not recorded'}; file: sha256 `{teacher['sha256']}`",
        f"- Licence: {teacher['licence']}. This model was made with its answers, and its licence is therefore treated as if it applied to "
        "this bundle.",
        *([f"- Macro-F1 on the test recordings, as float32 networks: {'; '.join(scores)}."] if scores else []),
        "",
    ]


def inherited_licences(backbone: BackboneInfo | None, teacher: dict[str, Any] | None) -> str:
    """Name the licence of the teacher or the backbone, as part of a sentence; empty without either."""
    if teacher:
        return f", including that of the teacher {teacher['name']} ({teacher['licence']})"
    return f", including that of the backbone {backbone.name} ({backbone.licence})" if backbone else ""


def _multiply_adds(row: pd.Series) -> str:
    """Return the multiply-adds of a head with its backbone as text."""
    if pd.isna(row["multiply_adds"]):
        return "multiply-adds cannot be counted for this backbone"
    own, total = row["multiply_adds"] - row["backbone_multiply_adds"], row["multiply_adds"]
    return f"{total / 1e6:.1f} million multiply-adds, {own / 1e6:.2f} million of them in the head and the rest in the backbone"


def _unlabelled_line(count: int) -> list[str]:
    if not count:
        return []
    return [
        f"- It also learnt the teacher's answers to sounds made of {counted(count, 'recording')} without labels, whose licences "
        f"the policy allows "
        "(`corpus.licences.train`) and which `ATTRIBUTION.csv` does not list."
    ]
