"""Licences, take-downs and labels that are not species in a listing, and the storage of its tables by checksum."""

import os
import time
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.corpus.settings import CorpusSettings
from autobird.sources import manifest
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.licences import allowed, family, licence_url, terms
from autobird.sources.listing import CORPUS_TABLES, Listing
from autobird.sources.manifest import CsvTable, Manifests
from autobird.sources.policy import TAKEN_DOWN, TakeDownList
from autobird.sources.settings import CREATIVE_COMMONS

RECORDINGS = [
    ListedRecording("a", "Parus major", f"sha256:{'a' * 64}"),
    ListedRecording("b", "Parus major", f"sha256:{'b' * 64}"),
    ListedRecording("c", "Corvus corone", f"sha256:{'c' * 64}"),
    ListedRecording("d", "Mystery mystery", f"sha256:{'d' * 64}"),
]
METADATA = [
    RecordingMetadata("a", recordist="Ann", licence="CC BY 4.0", number="XC1"),
    RecordingMetadata("b", recordist="Bob", licence="//creativecommons.org/licenses/by-nc-nd/4.0/", number="XC2"),
    RecordingMetadata("c", recordist="Cid", number="XC3"),
]


class ListSource(Source):
    name = "a list"

    def __init__(self, metadata: list[RecordingMetadata] = METADATA) -> None:
        self._metadata = metadata

    def recordings(self) -> list[ListedRecording]:
        return RECORDINGS

    def metadata(self) -> list[RecordingMetadata]:
        return self._metadata


def listing_with(
    tmp_path: Path, take_down: str = "", metadata: list[RecordingMetadata] = METADATA, **settings: object
) -> Listing:
    if take_down:
        (tmp_path / "down.csv").write_text(take_down)
        settings["take_down"] = str(tmp_path / "down.csv")
    return Listing(ListSource(metadata), CorpusSettings(batches=1, **settings))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/", "BY-NC-SA"),
        ("//creativecommons.org/licenses/by-nc-nd/2.5/", "BY-NC-ND"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0"),
        ("https://creativecommons.org/licenses/by-sa-nc/3.0/", "BY-NC-SA"),
        ("CC BY-NC 4.0", "BY-NC"),
        ("cc-by-4.0", "BY"),
        ("Creative Commons BY SA", "BY-SA"),
        ("BY-NC-ND", "BY-NC-ND"),
        ("CC0 1.0", "CC0"),
        ("Public Domain", "CC0"),
        ("", "unknown"),
        ("n/a", "unknown"),
        ("xeno-canto CC licence, exact variant not recorded in the file", "unknown"),
        ("All rights reserved", "All rights reserved"),
    ],
)
def test_the_family_of_a_licence_is_recognised_by_its_url_or_name(text: str, name: str) -> None:
    assert family(text) == name


def test_an_unknown_licence_is_treated_as_the_strictest_one() -> None:
    assert allowed("", CREATIVE_COMMONS)
    assert not allowed("", CREATIVE_COMMONS[:-1])
    assert not allowed("All rights reserved", CREATIVE_COMMONS)
    assert allowed("All rights reserved", (*CREATIVE_COMMONS, "all rights reserved"))
    assert allowed("https://creativecommons.org/licenses/by/4.0/", ("cc by",))


def test_a_condition_of_any_licence_applies_to_all_recordings_together() -> None:
    assert terms(["CC0"])["commercial_use"] is True
    assert terms(["CC0"])["statement"] == "no conditions."
    assert terms(["BY", "BY-NC"]) | {"statement": ""} == {
        "attribution": True, "commercial_use": False, "derived_audio": True, "share_alike": False, "statement": "",
    }  # fmt: skip
    other = terms(["BY", "All rights reserved", "unknown"])
    assert other["derived_audio"] is False
    assert "All rights reserved" in other["statement"]


def test_a_creative_commons_licence_has_a_url() -> None:
    assert licence_url("CC BY-NC-SA 3.0") == "https://creativecommons.org/licenses/by-nc-sa/3.0/"
    assert licence_url("//creativecommons.org/licenses/by/4.0/") == "https://creativecommons.org/licenses/by/4.0/"
    assert licence_url("All rights reserved") == licence_url("") == ""


def excluded(listing: Listing) -> list[str]:
    return [line.split(",")[0] for line in listing.manifests.text("exclusions").splitlines()[1:]]


def test_exclusions_list_only_the_recordings_that_must_not_be_used(tmp_path: Path) -> None:
    all_licences = listing_with(tmp_path)
    assert excluded(all_licences) == ["d"]
    free_licences = listing_with(tmp_path, licences={"train": ["CC0", "BY"]})
    assert excluded(free_licences) == ["b", "c", "d"]
    assert free_licences.manifests.digest("0") == all_licences.manifests.digest("0")


def test_a_corrected_licence_changes_the_exclusions_only_if_the_policy_decides_differently(tmp_path: Path) -> None:
    policy = {"licences": {"train": ["CC0", "BY"]}}
    first, second, third = METADATA
    before = listing_with(tmp_path, **policy).manifests
    same_decision = [first._replace(licence="CC0"), second._replace(licence="CC BY-ND"), third]
    after = listing_with(tmp_path, metadata=same_decision, **policy).manifests
    assert after.digest("exclusions") == before.digest("exclusions")
    assert after.digest("details") != before.digest("details")
    other_decision = [first, second._replace(licence="CC0"), third]
    after = listing_with(tmp_path, metadata=other_decision, **policy).manifests
    assert after.digest("exclusions") != before.digest("exclusions")


@pytest.mark.parametrize(
    ("line", "taken_down"), [("id,b", "b"), ("id,XC1", "a"), ("recordist,Cid", "c"), (f"sha256,{'B' * 64}", "b")]
)
def test_only_the_id_of_a_recording_on_the_take_down_list_is_kept(tmp_path: Path, line: str, taken_down: str) -> None:
    tables = listing_with(tmp_path, f"kind,value\n{line}\n").manifests
    assert f"{taken_down},,,{TAKEN_DOWN},,,\n" in tables.text("0")
    metadata = {m.recording: m for m in METADATA}
    for table in ("grouping", "details", "boxes"):
        assert metadata[taken_down].recordist not in tables.text(table)
        assert metadata[taken_down].number not in tables.text(table)
    others = {"a", "b", "c"} - {taken_down}
    assert all(metadata[name].recordist in tables.text("grouping") for name in others)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind,value\nid,b\nname,x\n", r"line 3: 'name,x' is not a kind"),
        ("id\n", r"line 1: 'id' is not a kind"),
        ("sha256,abc\n", r"'abc' is not a sha256"),
    ],
)
def test_a_wrong_line_of_a_take_down_list_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AutobirdError, match=message):
        listing_with(tmp_path, text)
    with pytest.raises(AutobirdError, match="cannot be read"):
        TakeDownList.read(tmp_path / "nowhere.csv")


def test_a_table_is_stored_by_its_checksum_and_copied_by_the_stage(tmp_path: Path) -> None:
    tables = listing_with(tmp_path).manifests
    text, digest = tables.text("details"), tables.digest("details")
    tables.store(tmp_path / "tables")
    arguments = ["--digest", digest, "--tables", str(tmp_path / "tables"), "--output", str(tmp_path / "out.csv")]
    manifest.main(arguments)
    assert (tmp_path / "out.csv").read_text() == text

    (tmp_path / "tables" / digest).write_text(text + "a row that somebody added\n")
    with pytest.raises(AutobirdError, match="is missing or damaged; run again"):
        manifest.main(arguments)
    with pytest.raises(AutobirdError, match="is missing or damaged; run again"):
        manifest.main(arguments)


def test_tables_of_earlier_listings_are_removed_after_a_week_and_those_of_the_present_one_are_kept(
    tmp_path: Path,
) -> None:
    tables = listing_with(tmp_path).manifests
    texts = {tables.digest(table): tables.text(table) for table in ("0", *CORPUS_TABLES)}
    folder, week = tmp_path / "tables", 7 * 86400
    folder.mkdir()
    for name, age in (("recent", week - 60), ("old", week + 60), (tables.digest("details"), week + 60)):
        (folder / name).write_text(texts.get(name, ""))
        os.utime(folder / name, times=(time.time() - age,) * 2)
    tables.store(folder)
    assert {p.name: p.read_text() for p in folder.iterdir()} == texts | {"recent": ""}


def test_a_table_that_is_stored_again_is_kept_when_another_listing_is_stored_in_the_same_folder(tmp_path: Path) -> None:
    """Prediction and drift share a folder: the field recordings of both may have been listed first more than a week ago."""
    stored, other = (CsvTable("recording") for _ in range(2))
    stored.add("a.wav")
    other.add("b.wav")
    digest = Manifests({"0": stored}).digest("0")
    Manifests({"0": stored}).store(tmp_path)
    os.utime(tmp_path / digest, times=(time.time() - 8 * 86400,) * 2)

    Manifests({"0": stored}).store(tmp_path)
    Manifests({"0": other}).store(tmp_path)
    assert (tmp_path / digest).exists()
