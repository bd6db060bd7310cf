"""What a listing says of policy: licences, take-downs and labels without a species, each with a digest of its own."""

import os
import time
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.corpus.licences import allowed, family, terms, url
from autobird.corpus.listing import TABLES, Listing
from autobird.corpus.policy import TAKEN_DOWN, TakeDown
from autobird.corpus.settings import CREATIVE_COMMONS, CorpusSettings
from autobird.corpus.sources.base import Facts, Row, Source

ROWS = [
    Row("a", "Parus major", f"sha256:{'a' * 64}"),
    Row("b", "Parus major", f"sha256:{'b' * 64}"),
    Row("c", "Corvus corone", f"sha256:{'c' * 64}"),
    Row("d", "Mystery mystery", f"sha256:{'d' * 64}"),
]
FACTS = [
    Facts("a", recordist="Ann", licence="CC BY 4.0", number="XC1"),
    Facts("b", recordist="Bob", licence="//creativecommons.org/licenses/by-nc-nd/4.0/", number="XC2"),
    Facts("c", recordist="Cid", number="XC3"),
]


class Fixed(Source):
    name = "a list"

    def __init__(self, facts: list[Facts] = FACTS) -> None:
        self._facts = facts

    def rows(self) -> list[Row]:
        return ROWS

    def facts(self) -> list[Facts]:
        return self._facts


def listed(tmp_path: Path, take_down: str = "", facts: list[Facts] = FACTS, **settings: object) -> Listing:
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
    assert [line.split(",")[0] for line in everything.text("verdicts").splitlines()[1:]] == ["d"]
    free = listed(tmp_path, licences={"train": ["CC0", "BY"]})
    assert [line.split(",")[0] for line in free.text("verdicts").splitlines()[1:]] == ["b", "c", "d"]
    assert free.digest("0") == everything.digest("0")
    assert (free.accepted, everything.accepted) == (1, 3)


def test_a_corrected_licence_changes_a_verdict_only_if_it_admits_or_drops(tmp_path: Path) -> None:
    policy = {"licences": {"train": ["CC0", "BY"]}}
    first = listed(tmp_path, **policy)
    still = listed(
        tmp_path, facts=[FACTS[0]._replace(licence="CC0"), FACTS[1]._replace(licence="CC BY-ND"), FACTS[2]], **policy
    )
    freed = listed(tmp_path, facts=[FACTS[0], FACTS[1]._replace(licence="CC0"), FACTS[2]], **policy)
    assert still.digest("verdicts") == first.digest("verdicts") != freed.digest("verdicts")
    assert still.digest("details") != first.digest("details")


@pytest.mark.parametrize(
    ("line", "gone"), [("id,b", "b"), ("id,XC1", "a"), ("recordist,Cid", "c"), (f"sha256,{'B' * 64}", "b")]
)
def test_what_is_taken_down_leaves_nothing_but_its_name(tmp_path: Path, line: str, gone: str) -> None:
    found = listed(tmp_path, f"kind,value\n{line}\n")
    assert f"{gone},,,{TAKEN_DOWN},,,\n" in found.text("0")
    facts = {f.recording: f for f in FACTS}
    for table in ("grouping", "details", "boxes"):
        assert facts[gone].recordist not in found.text(table)
        assert facts[gone].number not in found.text(table)
    rest = {"a", "b", "c"} - {gone}
    assert all(facts[name].recordist in found.text("grouping") for name in rest)


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


def test_tables_are_kept_by_their_digest_and_others_for_a_week(tmp_path: Path) -> None:
    found = listed(tmp_path)
    texts = {found.digest(table): found.text(table) for table in ("0", *TABLES)}
    kept = tmp_path / "kept"
    kept.mkdir()
    for name, days in (("of yesterday", 1), ("of last month", 30), (found.digest("details"), 30)):
        (kept / name).write_text(texts.get(name, ""))
        os.utime(kept / name, (time.time() - days * 86400,) * 2)
    found.keep(kept)
    assert {p.name: p.read_text() for p in kept.iterdir()} == texts | {"of yesterday": ""}
