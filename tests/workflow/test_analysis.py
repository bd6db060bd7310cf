"""Analyses of a run on a backbone: their place in the workflow, what reruns them, and what the card says."""

from pathlib import Path

import pytest

from autobird.core.files import read_json
from tests.workflow.conftest import snakemake
from tests.workflow.test_head_release import HEAD, finished_head  # noqa: F401 - a fixture


def test_a_head_has_the_analyses_and_its_card_their_summaries(finished_head: Path) -> None:  # noqa: F811
    evaluation = finished_head / "results/test/evaluation"
    card = (finished_head / "results/test/release/bundle/MODEL_CARD.md").read_text()
    for name in ("possibly_heard", "learning_curve"):
        assert read_json(evaluation / f"{name}.json")["summary"] in card
    assert "Which recordings the backbone tiny-backbone was trained on is not known" in card
    assert (evaluation / "learning_curve.png").is_file()
    assert not (evaluation / "with_backbone.json").exists()  # this backbone has no species list


@pytest.mark.long
@pytest.mark.parametrize(
    ("setting", "rules"),
    [("heard_until: 5", {"possibly_heard", "bundle", "drift_current", "drift"})],
)
def test_another_last_number_of_the_backbone_repeats_only_the_analysis_and_the_bundle(
    finished_head: Path,  # noqa: F811
    setting: str,
    rules: set[str],
) -> None:
    result = snakemake(
        finished_head,
        "--dry-run",
        "--config",
        *HEAD[:2],
        HEAD[2].replace("source: a test", f"source: a test, {setting}"),
    )
    assert result.code == 0, result.text
    assert result.rules == rules
