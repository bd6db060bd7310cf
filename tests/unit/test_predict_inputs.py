"""`autobird predict` on folders: what is no recording is counted and is no error; names that are not UTF-8 cost no result."""

import json
import os
from pathlib import Path

import pytest

from autobird import cli
from tests.cases import write_case
from tests.unit.test_predict import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def predict(*arguments: object) -> int:
    """Return the exit status of the command."""
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", *map(str, arguments), "--jobs", "1"])
    return int(end.value.code or 0)


def test_files_that_are_no_audio_are_counted_and_are_no_error(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_case("f05_link", tmp_path / "f05") / "card"
    (folder / "SOURCES.csv").write_text("file,species\n")
    (folder / "._first.wav").write_bytes(b"\0\5\x16\7")
    assert predict(bundle, folder, "--json") == 0
    out, err = capsys.readouterr()
    assert [Path(f["file"]).name for f in json.loads(out)["files"]] == ["first.wav", "second.wav"]
    assert f"note: {folder}: 1 file is not audio (1 text), for example SOURCES.csv" in err
    assert f"note: {folder}: 1 hidden or system file or folder was passed over, for example ._first.wav" in err
    assert "skipped" not in err


def test_a_file_that_is_no_audio_is_tried_if_the_user_names_it(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "SOURCES.csv").write_text("file,species\n")
    assert predict(bundle, tmp_path / "SOURCES.csv") == 1
    assert "SOURCES.csv: skipped: text, not audio" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_name_that_is_not_utf8_costs_no_result(form: str, bundle: Path, tmp_path: Path) -> None:
    folder = write_case("f13_latin1", tmp_path / "f13")
    (folder / os.fsdecode(b"br\xf8ken.wav")).write_text("words")
    output = tmp_path / "found"
    assert predict(bundle, folder, form, "--output", output) == 1
    text = output.read_text(encoding="utf-8")
    if form == "--json":
        files = {Path(f["file"]).name: f for f in json.loads(text)["files"]}
        assert [name for name, f in sorted(files.items()) if "error" not in f] == ["W\\xf6lfchen.wav", "b.wav"]
        assert files["br\\xf8ken.wav"]["error"] == "text, not audio"
        assert files["W\\xf6lfchen.wav"]["probabilities"] == files["b.wav"]["probabilities"]
