"""Texts that a user meets first: the start page of the report, and the lines of `make`."""

import shutil
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import Environment

from tests.conftest import ROOT


def start_page(**config: Any) -> list[str]:
    """Return the lines of the start page, rendered as Snakemake does it."""
    template = (ROOT / "workflow/report/start.rst").read_text(encoding="utf-8")
    job = SimpleNamespace(config={"run": {"name": "mine"}} | config)
    return Environment(trim_blocks=True, lstrip_blocks=True).from_string(template).render(snakemake=job).splitlines()


def entry(lines: list[str], category: str) -> str:
    (line,) = (x for x in lines if x.startswith(f"- **{category}**"))
    return line


def test_the_start_page_of_a_network_names_its_loss_and_no_analysis_of_heads() -> None:
    lines = start_page()
    assert entry(lines, "Model") == "- **Model**: training and validation loss over the epochs."
    assert entry(lines, "Evaluation").endswith("with confidence intervals.")
    entry(lines, "Release")


@pytest.mark.parametrize(
    ("config", "is_head", "is_compared"),
    [
        ({"train": {"architecture": "head"}}, True, True),
        ({"train": {"architecture": "head"}, "backbone": {"name": "perch-2"}}, True, False),
        ({"train": {"teacher": "birdnet-2.4"}}, False, True),
    ],
)
def test_the_start_page_names_the_analyses_that_a_run_on_a_backbone_has(
    config: dict[str, Any], is_head: bool, is_compared: bool
) -> None:
    lines = start_page(**config)
    assert ("the choice of the weight decay of the head" in entry(lines, "Model")) == is_head
    assert ("*Learning curve*" in entry(lines, "Evaluation")) == is_head
    assert ("*This model or the backbone as it is*" in entry(lines, "Evaluation")) == is_compared


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_says_what_it_installs() -> None:
    done = subprocess.run(["make", "-n", "-B", "birdnet"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("echo")]
    assert [("5 minutes" in line, "BirdNET 2.4 (CC BY-NC-SA 4.0) installed" in line) for line in lines] == [
        (True, False), (False, False), (False, True),
    ]  # fmt: skip
