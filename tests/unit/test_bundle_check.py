"""`autobird bundle check` and `serve`: does this machine give the answer that the bundle expects of its own clip?"""

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
from autobird.predict.bundle import manifest
from autobird.predict.check import TOLERANCE, machine, replay
from tests.unit.test_predict import make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def expect(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the expected answer, as if it came from another machine; the manifest follows."""
    text = json.loads((bundle / "expected.json").read_text())
    change(text)
    write_json(bundle / "expected.json", text)
    write_json(bundle / "manifest.json", manifest(bundle))


def add(difference: float) -> Callable[[dict[str, Any]], object]:
    def change(text: dict[str, Any]) -> None:
        text["probabilities"][1][0] += difference

    return change


def check(bundle: Path) -> object:
    with pytest.raises(SystemExit) as end:
        cli.main(["bundle", "check", str(bundle)])
    return end.value.code


def test_the_expected_answer_passes(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(bundle) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "(tiny, float, 0123456789abcdef)" in out
    assert f"ONNX Runtime {onnxruntime.__version__}" in out
    assert f"tolerance {TOLERANCE:g}" in out
    assert out.splitlines()[-1] == "ok: this machine gives the expected answer"
    assert replay(bundle).difference < 0.001


def test_a_graph_that_this_version_of_onnx_runtime_cannot_load_is_an_error_of_one_line(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(bundle / "model.onnx")
    model.ir_version = 99
    onnx.save(model, bundle / "model.onnx")
    write_json(bundle / "manifest.json", manifest(bundle))
    assert check(bundle) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"model.onnx cannot be loaded by ONNX Runtime {onnxruntime.__version__}" in err
    assert "install the version of onnxruntime" in err


def test_another_answer_fails_with_one_line_that_names_the_remedy(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expect(bundle, add(TOLERANCE + 0.01))
    assert check(bundle) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"error: {bundle} does not give its expected answer on this machine (difference 0.0")
    assert "make the bundle anew" in error
    assert machine() in error


@pytest.mark.parametrize(
    ("difference", "tolerance", "passed"),
    [
        (TOLERANCE / 2, TOLERANCE, True),
        (2 * TOLERANCE, TOLERANCE, False),
        (2 * TOLERANCE, 0.05, False),  # what bundles allowed before the tolerance was measured
        (TOLERANCE / 2, TOLERANCE / 10, False),
    ],
)
def test_the_smaller_tolerance_decides(bundle: Path, difference: float, tolerance: float, passed: bool) -> None:
    expect(bundle, lambda text: (add(difference)(text), text.update(tolerance=tolerance)))
    assert replay(bundle).passed == passed


def test_another_number_of_windows_fails(bundle: Path) -> None:
    expect(bundle, lambda text: text["probabilities"].pop())
    assert replay(bundle).difference == np.inf
    assert not replay(bundle).passed


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("expected.json", None, "lacks expected.json; copy or make the bundle anew"),
        ("expected.json", "{", "expected.json is damaged"),
        ("expected.json", '{"clip": "example.flac"}', "expected.json is damaged (KeyError('probabilities'))"),
        ("expected.json", '{"clip": "example.flac", "probabilities": [], "tolerance": 1}', "expected.json is damaged"),
        ("expected.json", '{"clip": "example.flac", "probabilities": [[NaN]], "tolerance": 1}', "is damaged"),
        ("expected.json", '{"clip": "example.flac", "probabilities": [[1]], "tolerance": 0}', "is damaged"),
        ("expected.json", '{"clip": "example.flac", "probabilities": [[1]], "tolerance": "x"}', "is damaged"),
        ("expected.json", '{"clip": "../x.flac", "probabilities": [[1]], "tolerance": 1}', "lacks x.flac"),
        ("example.flac", None, "lacks example.flac; copy or make the bundle anew"),
        ("example.flac", "words", "example.flac cannot be read (text, not audio)"),
    ],
)
def test_a_missing_or_damaged_expectation_is_named(
    bundle: Path, name: str, content: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / name).unlink()
    if content is not None:
        (bundle / name).write_text(content)
    write_json(bundle / "manifest.json", manifest(bundle))
    assert check(bundle) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs POSIX")
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (add(0.1), "does not give its expected answer on this machine (difference 0.1"),
        (lambda text: text.pop("probabilities"), "expected.json is damaged"),
    ],
)
def test_the_server_does_not_start_on_a_wrong_answer(
    bundle: Path, harm: Callable[[dict[str, Any]], object], message: str
) -> None:
    expect(bundle, harm)
    done = subprocess.run(
        [sys.executable, "-m", "autobird.cli", "serve", str(bundle), "--port", "0", "--workers", "1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
