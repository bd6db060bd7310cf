"""The table of thresholds beside a bundle."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autobird.core.errors import AutobirdError
from autobird.predict.overlay_path import overlay_path
from autobird.predict.threshold_overlay import read_overlay, write_overlay


def _bundle(folder: Path) -> Any:
    (folder / "b").mkdir()
    return SimpleNamespace(folder=folder / "b", fingerprint="0123abcd", labels=("Apus apus", "Parus major"))


def test_thresholds_are_read_back_and_the_bundle_folder_is_not_touched(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path)
    assert read_overlay(bundle) == {}
    path = write_overlay(bundle, {"Parus major": 0.1 + 0.2})
    assert path == overlay_path(bundle.folder) == tmp_path / "b.thresholds.csv"
    assert read_overlay(bundle) == {"Parus major": 0.1 + 0.2}
    assert not any(bundle.folder.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bundle,species,threshold\nffff,Apus apus,0.5\n", "line 2: these thresholds were chosen for the bundle ffff"),
        ("species,threshold\nApus apus,0.5\n", "has no column bundle"),
        ("bundle,species,threshold\n0123abcd,Apus apus,1.5\n", "from 0 to 1"),
        ("bundle,species,threshold\n0123abcd,Apus apus,high\n", "'high'"),
        ("bundle,species,threshold\n0123abcd,Apus apus,nan\n", "from 0 to 1"),
        ("bundle,species,threshold\n0123abcd,Pica pica,0.5\n", "does not know this species"),
        (
            "bundle,species,threshold\n0123abcd,Apus apus,0.5\n0123abcd,Apus apus,0.6\n",
            "line 3: Apus apus has a threshold",
        ),
        ("bundle,species,threshold\n0123abcd\n", "line 2"),
    ],
)
def test_a_stale_or_damaged_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    bundle = _bundle(tmp_path)
    overlay_path(bundle.folder).write_text(text, encoding="utf-8")
    with pytest.raises(AutobirdError, match=message) as error:
        read_overlay(bundle)
    assert "b.thresholds.csv" in str(error.value)


def test_writing_refuses_unknown_species_and_values(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path)
    with pytest.raises(AutobirdError, match="does not know"):
        write_overlay(bundle, {"Pica pica": 0.5})
    with pytest.raises(AutobirdError, match="from 0 to 1"):
        write_overlay(bundle, {"Apus apus": -0.1})
