"""The fingerprint of a stage changes with its code and its libraries, not with comments."""

import ast
import copy
import re
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest

import autobird
from autobird.code_fingerprint import CodeFingerprints, locked_versions
from autobird.core.errors import AutobirdError
from autobird.core.python_code import result_affecting_code, without_docstrings
from autobird.model.tracking import Tracker
from autobird.release.evaluation_tracker import EvaluationTracker
from tests.conftest import ROOT

SCRIPTS = ROOT / "scripts"
LOCK = ROOT / "envs" / "requirements.lock"


@cache
def stages() -> list[str]:
    text = "".join(p.read_text() for p in (ROOT / "workflow/rules").glob("*.smk"))
    found = sorted(set(re.findall(r"python -m (autobird\.[\w.]+)", text)))
    assert len(found) > 20  # without stages, most of these tests could not fail
    return found


@pytest.fixture(scope="module")
def present() -> CodeFingerprints:
    """The fingerprints of the present code."""
    return CodeFingerprints(SCRIPTS, LOCK)


def normalised(code: str) -> str:
    return ast.unparse(without_docstrings(ast.parse(code)))


def test_comments_docstrings_and_formatting_do_not_count() -> None:
    plain = "def f(x):\n    return x + 1\nY = 2\n"
    documented = '"""Module."""\n# why\ndef f( x ):\n    """Add."""\n    # one\n    return (x\n        + 1)\n\nY = 2\n"""What Y is."""\n'
    assert normalised(plain) == normalised(documented)
    assert normalised(plain) != normalised(plain.replace("+ 1", "+ 2"))


def test_a_body_that_is_only_a_docstring_becomes_pass() -> None:
    assert normalised('class A:\n    """Doc."""\n') == normalised("class A:\n    pass\n")


@pytest.mark.parametrize("stage", stages())
def test_every_stage_has_a_fingerprint_and_all_its_imports_are_locked(present: CodeFingerprints, stage: str) -> None:
    assert len(present.of(stage)) == 16
    assert stage in present.modules(stage)
    assert "filelock" in present.distributions(stage)


@pytest.mark.parametrize(
    "stage",
    ["model.train", "model.train_head", "release.export", "release.score", "release.ensemble", "release.ensemble_answers",
     "release.compare", "sweep.rung"],
)  # fmt: skip
def test_a_change_of_a_figure_trains_nothing_again(present: CodeFingerprints, stage: str) -> None:
    # A network learns the answers of an ensemble: what runs the stage `ensemble` again also trains that network again.
    modules = present.modules(f"autobird.{stage}")
    assert "autobird.core.plots" not in modules
    assert not [name for name in modules if "figure" in name]


def test_a_change_of_what_is_logged_of_an_evaluation_trains_nothing_again(present: CodeFingerprints) -> None:
    assert {"log_evaluation", "log_model"} <= vars(EvaluationTracker).keys()
    assert not {"log_evaluation", "log_model"} & vars(Tracker).keys()
    assert EvaluationTracker.__module__ in present.modules("autobird.release.track")
    for stage in ("model.train", "release.prune"):
        assert EvaluationTracker.__module__ not in present.modules(f"autobird.{stage}")


def test_the_modules_of_a_stage_are_those_that_it_imports(present: CodeFingerprints) -> None:
    assert "autobird.audio.mel" in present.modules("autobird.audio.mel_shards")
    assert "autobird.audio.mel" not in present.modules("autobird.audio.segment")
    assert "torch" in present.distributions("autobird.model.train")
    for stage in stages():
        if not stage.startswith(("autobird.model.", "autobird.release.")):
            assert "torch" not in present.distributions(stage)
        assert "wandb" not in present.distributions(stage)


def test_a_library_without_a_locked_version_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("".join(line for line in LOCK.read_text().splitlines(True) if not line.startswith("soxr")))
    with pytest.raises(AutobirdError, match=r"does not lock soxr, which autobird\.corpus\.recordings imports"):
        CodeFingerprints(SCRIPTS, lock).of("autobird.corpus.recordings")


def test_all_versions_of_a_distribution_locked_per_platform_count(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(
        "# comment\nnumpy==2.4 ; python_version < '3.12'\nnumpy==2.5 ; python_version >= '3.12'\nA_b[x]==1\n"
    )
    found = locked_versions(tmp_path / "lock")
    assert found["numpy"].startswith("2.4 ;")
    assert "2.5" in found["numpy"]
    assert found["a-b"] == "1"


@pytest.fixture(scope="module")
def before(present: CodeFingerprints) -> dict[str, str]:
    """The fingerprint of every stage with the present code."""
    return {stage: present.of(stage) for stage in stages()}


STAGES = ("autobird.audio.segment", "autobird.model.train")


def stored_by(fingerprints: CodeFingerprints) -> dict[str, str]:
    """The fingerprints of `STAGES`, after they were stored."""
    found = {stage: fingerprints.of(stage) for stage in STAGES}
    fingerprints.store()
    return found


def test_stored_fingerprints_are_those_that_are_computed_and_spare_reading_the_code(
    tmp_path: Path, before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tmp_path / "folder" / "fingerprints.json"
    expected = {stage: before[stage] for stage in STAGES}
    assert stored_by(CodeFingerprints(SCRIPTS, LOCK, stored)) == expected
    monkeypatch.setattr(CodeFingerprints, "_computed", lambda *_: pytest.fail("computed again"))
    assert stored_by(CodeFingerprints(SCRIPTS, LOCK, stored)) == expected


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """A copy of the package, of the lock file, and the file of stored fingerprints, all of them "0000000000000000"."""
    source, lock, stored = tmp_path / "scripts", tmp_path / "lock", tmp_path / "fingerprints.json"
    shutil.copytree(SCRIPTS / "autobird", source / "autobird", ignore=shutil.ignore_patterns("__pycache__"))
    lock.write_text(LOCK.read_text())
    monkeypatch.setattr(autobird, "__file__", str(source / "autobird" / "__init__.py"))
    monkeypatch.setattr(CodeFingerprints, "_computed", lambda *_: "0" * 16)
    stored_by(CodeFingerprints(source, lock, stored))
    monkeypatch.setattr(CodeFingerprints, "_computed", lambda *_: "1" * 16)
    assert set(stored_by(CodeFingerprints(source, lock, stored)).values()) == {"0" * 16}
    return source, lock, stored


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


CHANGES: dict[str, Callable[[Path, Path, Path, pytest.MonkeyPatch], Any]] = {
    "same length": lambda s, _l, _f, _m: replace_in(s / "autobird/audio/segment.py", "import", "Import"),
    "new module": lambda s, _l, _f, _m: (s / "autobird/new.py").touch(),
    "removed module": lambda s, _l, _f, _m: (s / "autobird/audio/segment.py").unlink(),
    "renamed module": lambda s, _l, _f, _m: (s / "autobird/audio/segment.py").rename(s / "autobird/audio/other.py"),
    "lock": lambda _s, lock, _f, _m: replace_in(lock, "==1", "==2"),
    "Python": lambda _s, _l, _f, m: m.setattr(sys, "version", "4.0"),
    "grimp": lambda _s, _l, _f, m: m.setattr(grimp, "__version__", "0"),
    "another copy": lambda _s, _l, _f, m: m.setattr(autobird, "__file__", str(SCRIPTS / "autobird/__init__.py")),
    "damaged": lambda _s, _l, f, _m: f.write_text("{"),
    "a list": lambda _s, _l, f, _m: f.write_text("[]"),
    "no fingerprint": lambda _s, _l, f, _m: replace_in(f, f'"{"0" * 16}"', "null"),
    "half a fingerprint": lambda _s, _l, f, _m: replace_in(f, f'"{"0" * 16}"', '"0000"'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_stored_fingerprints_are_not_used_after_a_change(
    copied: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    source, lock, stored = copied
    CHANGES[change](source, lock, stored, monkeypatch)
    assert set(stored_by(CodeFingerprints(source, lock, stored)).values()) == {"1" * 16}
    assert set(stored_by(CodeFingerprints(source, lock, stored)).values()) == {"1" * 16}


def test_a_module_in_a_linked_folder_counts(copied: tuple[Path, Path, Path]) -> None:
    source, lock, stored = copied
    (source / "autobird" / "audio").rename(source.parent / "elsewhere")
    (source / "autobird" / "audio").symlink_to(source.parent / "elsewhere")
    assert CodeFingerprints(source, lock, stored).of(STAGES[0]) == "0" * 16
    replace_in(source.parent / "elsewhere" / "segment.py", "import", "Import")
    assert CodeFingerprints(source, lock, stored).of(STAGES[0]) == "1" * 16


def test_nothing_is_stored_of_code_that_is_edited_meanwhile(copied: tuple[Path, Path, Path]) -> None:
    source, lock, stored = copied
    file = source / "autobird" / "audio" / "segment.py"
    text = file.read_text()
    stored.unlink()
    fingerprints = CodeFingerprints(source, lock, stored)
    file.write_text(text + "X = 1\n")
    stored_by(fingerprints)
    assert not stored.exists()


def test_locks_of_editors_are_no_code_and_unreadable_code_is_not_stored(copied: tuple[Path, Path, Path]) -> None:
    source, lock, stored = copied
    (source / "autobird" / ".#cli.py").symlink_to("somebody@somewhere")  # as Emacs does
    assert CodeFingerprints(source, lock, stored).of(STAGES[0]) == "0" * 16
    (source / "autobird" / "dangling.py").symlink_to("nowhere")
    assert stored_by(CodeFingerprints(source, lock, stored))[STAGES[0]] == "1" * 16


def test_a_folder_that_cannot_be_written_does_not_stop_the_workflow(tmp_path: Path, before: dict[str, str]) -> None:
    (tmp_path / "file").touch()
    fingerprints = CodeFingerprints(SCRIPTS, LOCK, tmp_path / "file" / "fingerprints.json")
    assert stored_by(fingerprints)[STAGES[1]] == before["autobird.model.train"]


def test_each_rule_has_the_fingerprint_of_the_stage_that_it_runs() -> None:
    """Without it, changed code of the stage would not run the rule again."""
    checked = 0
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"\n *(?=(?:use )?rule |checkpoint )", file.read_text()):
            # A digest in the params decides about a manifest, and what has been downloaded stays.
            exempt = {"sources.manifest", "sources.download", "sources.refresh"}
            ran = set(re.findall(r"python -m autobird\.([\w.]+)", rule)) - exempt
            given = set(re.findall(r'code=code_fingerprint\(\s*"([\w.]+)"', rule))
            assert ran == given or not ran, rule[:60]
            checked += len(ran)
    assert checked > 40


def changed_by(
    tmp_path: Path, present: CodeFingerprints, before: dict[str, str], file: str, old: str, new: str
) -> set[str]:
    """Return the stages whose fingerprint changes if `old` is replaced by `new` in a file of the package.

    What was computed from the code of the other modules is used again, because that takes seconds.
    """
    text = (SCRIPTS / "autobird" / file).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "autobird" / file
    path.parent.mkdir(parents=True)
    path.write_text(text.replace(old, new), encoding="utf-8")
    edited, module = copy.copy(present), f"autobird.{file.removesuffix('.py').replace('/', '.')}"
    edited._source, edited._known = tmp_path, {}

    def of_edited(name: str) -> Callable[..., Any]:
        kept, computed = getattr(present, name), cache(getattr(edited, f"{name}_uncached"))
        return lambda of, *used: (computed if of == module else kept)(of, *used)

    for name in ("_tree", "_digest", "_imports"):
        setattr(edited, name, of_edited(name))
    return {stage for stage in before if edited.of(stage) != before[stage]}


def stages_that_reach(module: str, fingerprints: CodeFingerprints) -> set[str]:
    return {stage for stage in stages() if module in fingerprints._closure(stage)}


def test_the_body_of_a_property_of_settings_counts_for_every_stage_that_reaches_it(
    tmp_path: Path, present: CodeFingerprints, before: dict[str, str]
) -> None:
    reaching = stages_that_reach("autobird.audio.settings", present)
    assert {f"autobird.{s}" for s in ("audio.segment", "audio.mel_shards", "model.train", "predict.batch")} <= reaching
    assert "autobird.evaluation.curves" not in reaching
    old, new = "return round(self.window * self.sample_rate)", "return int(self.window * self.sample_rate)"
    assert changed_by(tmp_path, present, before, "audio/settings.py", old, new) == reaching


def test_a_constant_of_settings_counts_for_the_stages_whose_code_uses_it(
    tmp_path: Path, present: CodeFingerprints, before: dict[str, str]
) -> None:
    changed = changed_by(tmp_path, present, before, "sources/settings.py", '"BY-NC-ND")', '"BY-NC-ND", "BY-ND-NC")')
    assert changed == stages_that_reach("autobird.sources.licences", present)
    assert "autobird.corpus.catalogue" in changed
    assert "autobird.audio.segment" not in changed


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("audio/settings.py", "Field(5.0, gt=0, le=60, ", "Field(4.0, gt=0, le=60, "),
        ("audio/settings.py", "Field(5.0, gt=0, le=60, ", "Field(5.0, gt=1, le=90, "),
        ("audio/settings.py", "Length of the windows", "Duration of the windows"),
        ("audio/settings.py", '''"""Length of a window, samples."""''', '''"""How many samples a window has."""'''),
        ("audio/settings.py", "is longer than window", "exceeds window"),
        ("audio/settings.py", "[A-Za-z0-9][A-Za-z0-9._-]*", "[a-z0-9][a-z0-9._-]*"),
        ("audio/settings.py", "    hop: float =", "    taper: float = Field(0.0)\n    hop: float ="),
        ("model/settings.py", '"epochs": 50', '"epochs": 60'),
        ("model/settings.py", 'STUDENT_RECIPE | data', 'data'),
        ("sources/remote/settings.py", '"xeno-canto.org"', '"www.xeno-canto.org"'),
        ("core/settings.py", "frozen=True", "frozen=False"),
    ],
)  # fmt: skip
def test_changes_that_only_affect_the_values_of_settings_do_not_count(
    tmp_path: Path, present: CodeFingerprints, before: dict[str, str], file: str, old: str, new: str
) -> None:
    """Fields, defaults, bounds, descriptions, docstrings, validators, and code that only these use."""
    assert changed_by(tmp_path, present, before, file, old, new) == set()


SETTINGS = """
import math
from m import helper, unused
from pydantic import Field, model_validator
LIMIT = 3
STEP = LIMIT + 1
DEFAULT = 7
def half(x): return x / 2
def check(x): return x
class A(Settings):
    model_config = {}
    x: int = Field(DEFAULT, ge=LIMIT)
    @model_validator(mode="after")
    def _fits(self): return check(self)
    @property
    def y(self): return half(self.x) * STEP
class B(A):
    z: int = 1
"""


@pytest.mark.parametrize(
    ("used", "kept"),
    [
        (set(), ["LIMIT", "STEP", "half", "A"]),
        ({"A", "B"}, ["LIMIT", "STEP", "half", "A"]),
        ({"DEFAULT"}, ["LIMIT", "STEP", "DEFAULT", "half", "A"]),
        ({"*"}, ["LIMIT", "STEP", "DEFAULT", "half", "check", "A"]),
    ],
)
def test_computing_code_is_kept_with_the_names_that_it_uses(used: set[str], kept: list[str]) -> None:
    body = result_affecting_code(ast.parse(SETTINGS), used).body
    assert [getattr(n, "name", None) or ast.unparse(n).split(" =")[0] for n in body] == kept
    assert ast.unparse(body[-1]) == ("class A:\n\n    @property\n    def y(self):\n        return half(self.x) * STEP")


def test_the_import_of_a_function_that_a_property_calls_is_kept() -> None:
    code = "from m import f, g\nclass A(S):\n    x: int\n    @property\n    def y(self): return f(self.x)\n"
    assert ast.unparse(result_affecting_code(ast.parse(code), set()).body[0]) == "from m import f"


def test_modules_of_settings_only_declare() -> None:
    """They may contain fields, validators and properties. Functions belong to the modules that use them."""
    files = list(SCRIPTS.rglob("settings.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            assert not isinstance(node, ast.FunctionDef), f"{file}: {node.name} belongs elsewhere"
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        kinds = [ast.unparse(d) for d in item.decorator_list]
                        assert any(k.startswith(("model_validator", "property")) for k in kinds), f"{file}: {item.name}"


def test_stages_do_not_use_defaults_of_settings() -> None:
    """Stages get all values from the params of their rule; a change of a default would not run a stage again."""
    # These modules list the source while the Snakefile is parsed. The checksums of their tables are in the params.
    while_parsing = {"autobird.config", "autobird.sources.folder", "autobird.sources.metadata"}
    commands = {"autobird.commands.compare"}  # they write no output of a rule
    for file in (SCRIPTS / "autobird").rglob("*.py"):
        module = ".".join(file.relative_to(SCRIPTS).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not module.endswith(".settings"):
                uses_defaults = node.func.id.endswith("Settings") and not (node.args or node.keywords)
                assert not uses_defaults or module in while_parsing | commands, (
                    f"{file}:{node.lineno}: {node.func.id}()"
                )


def test_no_stage_reads_a_data_file_of_the_package(present: CodeFingerprints) -> None:
    """Fingerprints cover only Python code; a change of a data file would not run a stage again."""
    files = [p.relative_to(SCRIPTS / "autobird").as_posix() for p in (SCRIPTS / "autobird").rglob("*") if p.is_file()]
    data = [p for p in files if not p.endswith((".py", ".pyc"))]
    assert [
        p for p in data if not p.startswith(("serving/static/", "serving/pages/"))
    ] == []  # the files of the web page
    assert not [s for s in stages() if "autobird.serving.app" in present.modules(s)]
