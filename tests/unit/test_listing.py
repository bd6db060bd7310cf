"""What a listing says of policy: licences, take-downs and labels without a species, each with a digest of its own."""

import os
import time
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.corpus.settings import CorpusSettings
from autobird.sources import manifest
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.licences import allowed, family, terms, url
from autobird.sources.listing import Listing
from autobird.sources.policy import TAKEN_DOWN, TakeDown
from autobird.sources.settings import CREATIVE_COMMONS

ROWS = [
    ListedRecording("a", "Parus major", f"sha256:{'a' * 64}"),
    ListedRecording("b", "Parus major", f"sha256:{'b' * 64}"),
    ListedRecording("c", "Corvus corone", f"sha256:{'c' * 64}"),
    ListedRecording("d", "Mystery mystery", f"sha256:{'d' * 64}"),
]
FACTS = [
    RecordingMetadata("a", recordist="Ann", licence="CC BY 4.0", number="XC1"),
    RecordingMetadata("b", recordist="Bob", licence="//creativecommons.org/licenses/by-nc-nd/4.0/", number="XC2"),
    RecordingMetadata("c", recordist="Cid", number="XC3"),
]


class Fixed(Source):
    name = "a list"

    def __init__(self, facts: list[RecordingMetadata] = FACTS) -> None:
        self._facts = facts

    def recordings(self) -> list[ListedRecording]:
        return ROWS

    def metadata(self) -> list[RecordingMetadata]:
        return self._facts


def listed(tmp_path: Path, take_down: str = "", facts: list[RecordingMetadata] = FACTS, **settings: object) -> Listing:
    if take_down:
        (tmp_path / "down.csv").write_text(take_down)
        settings["take_down"] = str(tmp_path / "down.csv")
    return Listing(Fixed(facts), CorpusSettings(batches=1, **settings))


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
def test_licences_are_told_by_their_url_or_name(text: str, name: str) -> None:
    assert family(text) == name


def test_an_unknown_licence_is_treated_as_the_strictest() -> None:
    assert allowed("", CREATIVE_COMMONS)
    assert not allowed("", CREATIVE_COMMONS[:-1])
    assert not allowed("All rights reserved", CREATIVE_COMMONS)
    assert allowed("All rights reserved", (*CREATIVE_COMMONS, "all rights reserved"))
    assert allowed("https://creativecommons.org/licenses/by/4.0/", ("cc by",))


def test_what_all_recordings_allow_together_is_what_the_strictest_allows() -> None:
    assert terms(["CC0"])["commercial_use"] is True
    assert terms(["CC0"])["statement"] == "no conditions."
    assert terms(["BY", "BY-NC"]) | {"statement": ""} == {
        "attribution": True, "commercial_use": False, "derived_audio": True, "share_alike": False, "statement": "",
    }  # fmt: skip
    unread = terms(["BY", "All rights reserved", "unknown"])
    assert unread["derived_audio"] is False
    assert "All rights reserved" in unread["statement"]


def test_a_licence_has_an_address() -> None:
    assert url("CC BY-NC-SA 3.0") == "https://creativecommons.org/licenses/by-nc-sa/3.0/"
    assert url("//creativecommons.org/licenses/by/4.0/") == "https://creativecommons.org/licenses/by/4.0/"
    assert url("All rights reserved") == url("") == ""


def test_verdicts_name_what_must_not_train_and_nothing_else(tmp_path: Path) -> None:
    everything = listed(tmp_path)
    assert [line.split(",")[0] for line in everything.manifests.text("exclusions").splitlines()[1:]] == ["d"]
    free = listed(tmp_path, licences={"train": ["CC0", "BY"]})
    assert [line.split(",")[0] for line in free.manifests.text("exclusions").splitlines()[1:]] == ["b", "c", "d"]
    assert free.manifests.digest("0") == everything.manifests.digest("0")
    assert (free.accepted, everything.accepted) == (1, 3)


def test_a_corrected_licence_changes_a_verdict_only_if_it_admits_or_drops(tmp_path: Path) -> None:
    policy = {"licences": {"train": ["CC0", "BY"]}}
    first = listed(tmp_path, **policy)
    still = listed(
        tmp_path, facts=[FACTS[0]._replace(licence="CC0"), FACTS[1]._replace(licence="CC BY-ND"), FACTS[2]], **policy
    )
    freed = listed(tmp_path, facts=[FACTS[0], FACTS[1]._replace(licence="CC0"), FACTS[2]], **policy)
    assert (
        still.manifests.digest("exclusions")
        == first.manifests.digest("exclusions")
        != freed.manifests.digest("exclusions")
    )
    assert still.manifests.digest("details") != first.manifests.digest("details")


@pytest.mark.parametrize(
    ("line", "gone"), [("id,b", "b"), ("id,XC1", "a"), ("recordist,Cid", "c"), (f"sha256,{'B' * 64}", "b")]
)
def test_what_is_taken_down_leaves_nothing_but_its_name(tmp_path: Path, line: str, gone: str) -> None:
    found = listed(tmp_path, f"kind,value\n{line}\n")
    assert f"{gone},,,{TAKEN_DOWN},,,\n" in found.manifests.text("0")
    facts = {f.recording: f for f in FACTS}
    for table in ("grouping", "details", "boxes"):
        assert facts[gone].recordist not in found.manifests.text(table)
        assert facts[gone].number not in found.manifests.text(table)
    rest = {"a", "b", "c"} - {gone}
    assert all(facts[name].recordist in found.manifests.text("grouping") for name in rest)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind,value\nid,b\nname,x\n", r"line 3: 'name,x' is not a kind"),
        ("id\n", r"line 1: 'id' is not a kind"),
        ("sha256,abc\n", r"'abc' is not a sha256"),
    ],
)
def test_a_wrong_take_down_list_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AutobirdError, match=message):
        listed(tmp_path, text)
    with pytest.raises(AutobirdError, match="cannot be read"):
        TakeDown.read(tmp_path / "nowhere.csv")


def test_a_table_is_stored_by_its_checksum_and_copied_by_the_stage(tmp_path: Path) -> None:
    found = listed(tmp_path)
    text, digest = found.manifests.text("details"), found.manifests.digest("details")
    found.manifests.store(tmp_path / "tables")
    where = ["--digest", digest, "--tables", str(tmp_path / "tables"), "--output", str(tmp_path / "out.csv")]
    manifest.main(where)
    assert (tmp_path / "out.csv").read_text() == text

    (tmp_path / "tables" / digest).write_text(text + "a row that somebody added\n")
    with pytest.raises(AutobirdError, match="is missing or damaged; run again"):
        manifest.main(where)
    with pytest.raises(AutobirdError, match="is missing or damaged; run again"):
        manifest.main(where)


def test_tables_of_earlier_listings_are_removed_after_a_week(tmp_path: Path) -> None:
    week = 7 * 86400
    for name, age in (("old", week + 60), ("recent", week - 60)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, times=(time.time() - age,) * 2)
    found = listed(tmp_path)
    digest = found.manifests.digest("0")
    found.manifests.store(tmp_path)
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "recent").exists()
    assert (tmp_path / digest).exists()
