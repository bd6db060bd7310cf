"""Generated documentation is up to date, and the files that the documentation names exist."""

import importlib.util
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

spec = importlib.util.spec_from_file_location("docs", ROOT / "scripts" / "docs.py")
docs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(docs)


def test_the_generated_pages_are_up_to_date() -> None:
    for path, text in docs.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date; run `make docs`"


def test_the_readme_has_the_markers_of_the_rule_graph() -> None:
    """Without these markers no graph would be generated, and the test above could not fail."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"(?s)<!-- rulegraph -->\n(.*?)\n<!-- /rulegraph -->", docs.with_diagram(readme, "a graph"))
    assert shown == ["a graph"]
    assert "segment --> mel_shards" in readme


def test_make_targets_and_files_named_in_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {a or b for a, b in re.findall(r"(?m)^make ([a-z0-9-]+)|`make ([a-z0-9-]+)`", readme)}
    assert targets >= {"demo", "test", "lint"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in set(re.findall(r"\]\(([\w./-]+)\)", readme)):
        assert (ROOT / path).exists(), path


def outputs_of_rules() -> dict[str, set[str]]:
    """Return the paths in the section `output` of the rules, without their roots, by file of rules."""
    found = {}
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        sections = re.findall(r"(?ms)^( *)output:\n(.*?)^\1\w+:", file.read_text(encoding="utf-8"))
        paths = {path for _, text in sections for path in re.findall(r'/ f?"([^"]+)"', text)}
        if paths:
            found[file.name] = paths
    return found


def test_the_page_about_results_names_the_outputs_of_all_rules() -> None:
    """Files with a wildcard in their names are named by their folder."""
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    outputs = outputs_of_rules()
    assert outputs["sweep.smk"] >= {"sweep/rung{rung}.json", "sweep/best.yaml"}
    assert sum(map(len, outputs.values())) > 100
    for file, paths in outputs.items():
        for path in paths:
            *folders, name = re.sub(r"{(member|task|kind)}", "", path).split("/")
            wanted = [f"{folder}/" for folder in folders if folder and "{" not in folder]
            if "{" not in name and name not in {"predict", "bundle"}:
                wanted.append(name)
            for text in wanted:
                assert re.search(rf"(?<![\w.]){re.escape(text)}(?![.\w])" if "." in text else re.escape(text), page), (
                    f"{file}: {path}"
                )


def locked(name: str) -> list[str]:
    return [line for line in (ROOT / "envs" / name).read_text().splitlines() if not line.startswith("#")]


def test_conda_environment_and_images_use_the_versions_of_the_lock_file() -> None:
    environment = yaml.safe_load((ROOT / "envs/autobird.yaml").read_text())
    assert environment["dependencies"][-1]["pip"] == locked("train.lock")
    pins = [{line.split(" ;")[0] for line in locked(name)} for name in ("train.lock", "requirements.lock")]
    assert pins[0] < pins[1]
    assert not [line for line in locked("requirements.lock") if "://" in line or " @ " in line]
    assert "torch==2.13.0" in locked("train.lock")


def test_the_lock_files_agree_with_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    run = [*project["dependencies"], *(r for name, found in extras.items() if name != "dev" for r in found)]
    for lock, wanted in {"train.lock": run, "requirements.lock": [*run, *extras["dev"]]}.items():
        versions: dict[str, set[str]] = {}
        for line in locked(lock):
            name, version = re.match(r"([\w.-]+)(?:\[[^]]*\])?==([^ ;]+)", line).groups()
            versions.setdefault(canonicalize_name(name), set()).add(version)
        for requirement in map(Requirement, wanted):
            found = versions.get(canonicalize_name(requirement.name))
            assert found, f"{requirement} is not in {lock}; run `make lock`"
            assert all(v in requirement.specifier for v in found), f"{requirement}: {found} in {lock}"


@pytest.mark.long
def test_snakemake_lint_finds_no_problem() -> None:
    done = subprocess.run(
        [docs.sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "your workflow is in a good condition" in done.stdout + done.stderr
