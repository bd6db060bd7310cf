"""`autobird bundle check` and `serve` compare the probabilities of the example clip with the expected ones."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from autobird import cli
from autobird.core.files import write_json
from autobird.predict.bundle import bundle_manifest
from autobird.predict.check import TOLERANCE, describe_machine, replay
from autobird.predict.overlay_path import overlay_path
from tests.unit.test_predict import make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def change_expected(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change expected.json and update the manifest."""
    text = json.loads((bundle / "expected.json").read_text())
    change(text)
    write_json(bundle / "expected.json", text)
    write_json(bundle / "manifest.json", bundle_manifest(bundle))


def add(difference: float) -> Callable[[dict[str, Any]], object]:
    """Return a change that adds `difference` to one of the expected probabilities."""

    def change(text: dict[str, Any]) -> None:
        text["probabilities"][1][0] += difference

    return change


def exit_status_of_check(bundle: Path) -> object:
    with pytest.raises(SystemExit) as end:
        cli.main(["bundle", "check", str(bundle)])
    return end.value.code


def test_the_check_passes_on_the_machine_that_made_the_bundle(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status_of_check(bundle) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "(tiny, float, 0123456789abcdef)" in out
    assert f"ONNX Runtime {onnxruntime.__version__}" in out
    assert f"tolerance {TOLERANCE:g}" in out
    assert out.splitlines()[-1] == "ok: the example clip gives the expected probabilities on this machine"
    assert replay(bundle).difference < 0.001


def test_the_check_does_not_depend_on_the_table_of_thresholds_beside_the_bundle(bundle: Path) -> None:
    overlay_path(bundle).write_text("bundle,species,threshold\nffff,x,0.5\n")
    assert exit_status_of_check(bundle) == 0


def test_a_model_that_onnx_runtime_cannot_load_gives_a_one_line_error(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(bundle / "model.onnx")
    model.ir_version = 99
    onnx.save(model, bundle / "model.onnx")
    write_json(bundle / "manifest.json", bundle_manifest(bundle))
    assert exit_status_of_check(bundle) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"model.onnx cannot be loaded by ONNX Runtime {onnxruntime.__version__}" in err
    assert "install the version of onnxruntime" in err


def test_different_probabilities_give_a_one_line_error_with_a_remedy(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_expected(bundle, add(TOLERANCE + 0.01))
    assert exit_status_of_check(bundle) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(
        f"error: {bundle}: the example clip does not give the expected probabilities on this machine (difference 0.0"
    )
    assert "recreate it with this version of Autobird" in error
    assert describe_machine() in error


@pytest.mark.parametrize(
    ("difference", "tolerance", "passed"),
    [
        (TOLERANCE / 2, TOLERANCE, True),
        (2 * TOLERANCE, TOLERANCE, False),
        (2 * TOLERANCE, 0.05, False),  # the tolerance in bundles of older versions
        (TOLERANCE / 2, TOLERANCE / 10, False),
    ],
)
def test_the_smaller_of_both_tolerances_is_used(
    bundle: Path, difference: float, tolerance: float, passed: bool
) -> None:
    change_expected(bundle, lambda text: (add(difference)(text), text.update(tolerance=tolerance)))
    assert replay(bundle).passed == passed


def test_a_different_number_of_windows_fails(bundle: Path) -> None:
    change_expected(bundle, lambda text: text["probabilities"].pop())
    assert replay(bundle).difference == np.inf
    assert not replay(bundle).passed


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("expected.json", None, "expected.json is missing; copy the bundle again or recreate it"),
        ("expected.json", "{", "expected.json is damaged"),
        ("expected.json", '{"clip": "example.flac"}', "expected.json is damaged (KeyError('probabilities'))"),
        ("expected.json", '{"clip": "example.flac", "probabilities": [], "tolerance": 1}', "expected.json is damaged"),
        ("expected.json", '{"clip": "example.flac", "probabilities": [[NaN]], "tolerance": 1}', "is damaged"),
        ("expected.json", '{"clip": "example.flac", "probabilities": [[1]], "tolerance": 0}', "is damaged"),
        ("expected.json", '{"clip": "example.flac", "probabilities": [[1]], "tolerance": "x"}', "is damaged"),
        ("expected.json", '{"clip": "../x.flac", "probabilities": [[1]], "tolerance": 1}', "x.flac is missing"),
        ("example.flac", None, "example.flac is missing; copy the bundle again or recreate it"),
        ("example.flac", "words", "example.flac cannot be read (text, not audio)"),
    ],
)
def test_a_missing_or_damaged_clip_or_expected_output_is_named(
    bundle: Path, name: str, content: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / name).unlink()
    if content is not None:
        (bundle / name).write_text(content)
    write_json(bundle / "manifest.json", bundle_manifest(bundle))
    assert exit_status_of_check(bundle) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (add(0.1), "does not give the expected probabilities on this machine (difference 0.1"),
        (lambda text: text.pop("probabilities"), "expected.json is damaged"),
    ],
)
def test_the_server_does_not_start_if_the_probabilities_differ_or_cannot_be_compared(
    bundle: Path, damage: Callable[[dict[str, Any]], object], message: str
) -> None:
    change_expected(bundle, damage)
    done = subprocess.run(
        [sys.executable, "-m", "autobird.cli", "serve", str(bundle), "--port", "0", "--workers", "1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
