"""A stage's fingerprint follows its code and its libraries, not its comments."""

import ast
import re
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.fingerprint import Fingerprints, locked_versions, normalised
from tests.conftest import ROOT

SCRIPTS = ROOT / "scripts"
LOCK = ROOT / "envs" / "requirements.lock"


def stages() -> list[str]:
    text = "".join(p.read_text() for p in (ROOT / "workflow/rules").glob("*.smk"))
    return sorted(set(re.findall(r"python -m (autobird\.[\w.]+)", text)))


def test_comments_docstrings_and_formatting_do_not_count() -> None:
    plain = "def f(x):\n    return x + 1\nY = 2\n"
    said = '"""Module."""\n# why\ndef f( x ):\n    """Add."""\n    # one\n    return (x\n        + 1)\n\nY = 2\n"""What Y is."""\n'
    assert normalised(plain) == normalised(said)
    assert normalised(plain) != normalised(plain.replace("+ 1", "+ 2"))


def test_a_body_of_nothing_but_a_docstring_is_still_a_body() -> None:
    assert normalised('class A:\n    """Doc."""\n') == normalised("class A:\n    pass\n")


@pytest.mark.parametrize("stage", stages())
def test_every_stage_has_a_fingerprint_and_all_it_imports_is_locked(stage: str) -> None:
    prints = Fingerprints(SCRIPTS, LOCK)
    assert len(prints.of(stage)) == 16
    assert stage in prints.modules(stage)
    assert "filelock" in prints.distributions(stage)


def test_stages_reach_what_they_use_and_not_more() -> None:
    prints = Fingerprints(SCRIPTS, LOCK)
    assert "autobird.audio.mel" in prints.modules("autobird.audio.mel_shards")
    assert "autobird.audio.mel" not in prints.modules("autobird.audio.segment")
    assert "torch" in prints.distributions("autobird.model.train")
    for stage in stages():
        if not stage.startswith(("autobird.model.", "autobird.release.")):
            assert "torch" not in prints.distributions(stage)
        assert "wandb" not in prints.distributions(stage)
        assert not [m for m in prints.modules(stage) if m.endswith(".settings")]


def test_a_library_without_a_locked_version_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("".join(line for line in LOCK.read_text().splitlines(True) if not line.startswith("soxr")))
    with pytest.raises(AutobirdError, match=r"does not lock soxr, which autobird\.corpus\.recordings imports"):
        Fingerprints(SCRIPTS, lock).of("autobird.corpus.recordings")


def test_a_version_locked_by_platform_keeps_all_its_lines(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(
        "# comment\nnumpy==2.4 ; python_version < '3.12'\nnumpy==2.5 ; python_version >= '3.12'\nA_b[x]==1\n"
    )
    found = locked_versions(tmp_path / "lock")
    assert found["numpy"].startswith("2.4 ;")
    assert "2.5" in found["numpy"]
    assert found["a-b"] == "1"


def test_settings_modules_only_declare() -> None:
    """They are left out of the fingerprints, so nothing in them may compute what a stage writes."""
    for file in SCRIPTS.rglob("settings.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            assert not isinstance(node, ast.FunctionDef), f"{file}: {node.name} belongs elsewhere"
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        kinds = [ast.unparse(d) for d in item.decorator_list]
                        assert any(k.startswith(("model_validator", "property")) for k in kinds), f"{file}: {item.name}"
