"""Stage `catalogue`: measured properties joined with metadata, attribution, and licence counts."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from autobird.core.files import csv_text
from autobird.core.tables import RecordingLookup, write_table
from autobird.corpus import catalogue
from autobird.corpus.schemas import CATALOGUE, RECORDINGS
from autobird.sources.base import DETAIL_COLUMNS, GROUPING_COLUMNS
from autobird.sources.settings import LicenceSettings

METADATA = {
    "a": {"recordist": "Ann", "date": "2021-05-01", "licence": "//creativecommons.org/licenses/by-nc-nd/4.0/", "number": "XC1",
          "page": "https://xeno-canto.org/1", "latitude": "50.5", "longitude": "x", "extra": '{"type": "song, \\"call\\""}'},
    "b": {"recordist": "Bob\nand Co", "licence": "CC0"},
    "d": {"recordist": "Dora", "licence": "CC BY 4.0"},
}  # fmt: skip


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Folder with the stage's outputs for four recordings in two batches, one quarantined and one without metadata."""
    batches = []
    for number, names in enumerate((["c", "a"], ["d", "b"])):
        rows = [
            {f.name: "" if f.type == "string" else 0 for f in RECORDINGS}
            | {"recording": n, "species": "Parus major", "duration": 1800.0, "status": "ok"}
            for n in names
        ]
        batches.append(tmp_path / f"{number}.parquet")
        write_table(batches[-1], pd.DataFrame(rows), RECORDINGS)
    for name, columns in (("grouping", GROUPING_COLUMNS), ("details", DETAIL_COLUMNS)):
        lines = [[recording, *(values.get(c, "") for c in columns)] for recording, values in METADATA.items()]
        (tmp_path / f"{name}.csv").write_text(csv_text([["recording", *columns], *lines]), encoding="utf-8")
    (tmp_path / "kinds.csv").write_text("recording,kind\nc,negative\n")
    (tmp_path / "quarantine.csv").write_text("recording,species,reason\nd,Parus major,silent\n")
    output_files = {"catalogue": "catalogue.parquet", "attribution": "a.csv", "page": "a.md", "licences": "l.json"}
    input_files = {name: f"{name}.csv" for name in ("grouping", "details", "kinds", "quarantine")}
    options = [x for name, file in (input_files | output_files).items() for x in (f"--{name}", str(tmp_path / file))]
    settings = LicenceSettings().model_dump_json()
    catalogue.main(["--settings", settings, "--recordings", *map(str, batches), *options])
    return tmp_path


def test_every_recording_has_a_row_with_its_metadata(outputs: Path) -> None:
    table = pq.read_table(outputs / "catalogue.parquet")
    assert table.schema.equals(CATALOGUE)
    rows = {r["recording"]: r for r in table.to_pylist()}
    assert list(rows) == ["a", "b", "c", "d"]
    assert (rows["a"]["recordist"], rows["a"]["licence_family"], rows["a"]["may_redistribute"]) == (
        "Ann",
        "BY-NC-ND",
        False,
    )
    assert (rows["a"]["kind"], rows["c"]["kind"]) == ("", "negative")
    assert rows["a"]["latitude"] == 50.5
    assert pd.isna(rows["a"]["longitude"])
    assert json.loads(rows["a"]["extra"]) == {"type": 'song, "call"'}
    assert rows["b"]["recordist"] == "Bob\nand Co"
    assert (rows["c"]["licence"], rows["c"]["licence_family"], rows["c"]["recordist"]) == ("", "unknown", "")
    assert (rows["b"]["quarantined"], rows["d"]["quarantined"]) == ("", "silent")


def test_only_recordings_in_use_are_attributed(outputs: Path) -> None:
    table = pd.read_csv(outputs / "a.csv", keep_default_na=False)
    assert list(table.columns) == catalogue.ATTRIBUTION
    assert table["recording"].tolist() == ["a", "b", "c"]
    assert table["licence"].tolist()[1:] == ["CC0", "unknown"]
    assert table["licence_url"].tolist() == [
        "https://creativecommons.org/licenses/by-nc-nd/4.0/", "https://creativecommons.org/publicdomain/zero/1.0/", "",
    ]  # fmt: skip
    page = (outputs / "a.md").read_text()
    assert (
        "## CC BY-NC-ND\n\n<https://creativecommons.org/licenses/by-nc-nd/4.0/>\n\n- Ann: [XC1](https://xeno-canto.org/1) *Parus major*"
        in page
    )
    assert "- unknown recordist: c *Parus major*" in page
    assert "Dora" not in page


def test_licences_are_counted_and_the_strictest_one_determines_the_terms(outputs: Path) -> None:
    counts = json.loads((outputs / "l.json").read_text())
    assert counts["licences"]["BY-NC-ND"] == {
        "recordings": 1, "used": 1, "hours_used": 0.5, "may_train": True, "may_redistribute": False,
    }  # fmt: skip
    assert counts["licences"]["BY"]["used"] == 0
    assert counts["redistributable"] == {"recordings": 1, "hours": 0.5}
    assert counts["training_data"]["commercial_use"] is False


def test_unknown_metadata_are_empty_texts(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("recording,recordist\na,\n")
    metadata = RecordingLookup(tmp_path / "f.csv").of(pd.Series(["x", "a"], index=[7, 8]))
    assert metadata.to_dict() == {"recordist": {7: "", 8: ""}}
    (tmp_path / "none.csv").write_text("recording,recordist\n")
    assert RecordingLookup(tmp_path / "none.csv").of(pd.Series(["x"])).to_dict() == {"recordist": {0: ""}}
