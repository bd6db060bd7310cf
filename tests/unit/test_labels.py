"""Spellings of one species are one label, with a note; a corpus without variants keeps its labels and bytes."""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobird.sources import xeno_canto
from autobird.sources.base import ANNOTATED, Box, ListedRecording, RecordingMetadata, Source
from autobird.sources.labels import Spellings, label_key
from autobird.sources.listing import Listing
from autobird.sources.lock import write_lock
from autobird.sources.select import source_of
from autobird.sources.settings import SourceSettings
from tests.standins.xeno_canto import entry

SAME = (
    "Black-headed Gull", "black-headed gull", "BLACK-HEADED GULL", "Black_headed_Gull", "Black headed Gull", "Black-headed  Gull",
    " Black-headed Gull", "Black-headed Gull ", "Black-headed\u00a0Gull", "Black-headed Gull\u00a0", "Black\u2011headed Gull",
    "Black\u2013headed Gull", "Black-headed\u2009Gull", "Black-headed\tGull", "\ufeffBlack-headed Gull", "Black-headed Gull\u200b",
    "Ｂlack-headed Gull", "black-headed-gull",
)  # fmt: skip


def test_case_spaces_underscores_hyphens_and_unicode_form_do_not_matter() -> None:
    assert {label_key(label) for label in SAME} == {"black headed gull"}
    assert label_key("Fiofi\u0301o") == label_key("fiof\u00cdo") == "fiof\u00edo"
    assert label_key("Straße") == label_key("STRASSE")


@pytest.mark.parametrize(
    "other", ["Blackheaded Gull", "Black-headed Gulls", "Black-headed Gull 2", "Black headed", "Gull", ""]
)
def test_other_words_are_other_species(other: str) -> None:
    assert label_key(other) != label_key(SAME[0])


def test_the_most_frequent_spelling_is_used_and_the_first_of_equally_frequent_ones() -> None:
    spellings = Spellings()
    for label in ("b c", "B C", "B C", "x_y", "X y", "only", ""):
        spellings.add(label)
    assert spellings.replacements() == {"b c": "B C", "X y": "x_y"}
    (note,) = spellings.notes()
    assert note == (
        "2 species have several spellings; the first one is used for all: 'B C' (2) = 'b c' (1); 'x_y' (1) = 'X y' (1)"
    )


class Recordings(Source):
    """A source of given recordings, and boxes."""

    name = "test"

    def __init__(self, labels: Iterable[str], boxes: list[Box] | None = None) -> None:
        self._labels, self._boxes = list(labels), boxes

    def recordings(self) -> list[ListedRecording]:
        kind = "" if self._boxes is None else ANNOTATED
        return [
            ListedRecording(f'{i:03}, "a\nb".wav', label, f"sha256:{i:064}", kind=kind)
            for i, label in enumerate(self._labels)
        ]

    def metadata(self) -> list[RecordingMetadata]:
        return []

    def boxes(self) -> list[Box] | None:
        return self._boxes


def species_of(listing: Listing, batches: int = 2) -> list[str]:
    tables = "".join(listing.manifests.text(str(b)) for b in range(batches))
    return sorted(
        {name for name in ("Parus major", "parus major", "PARUS MAJOR", "Pica pica") if f",{name},sha256" in tables}
    )


def test_all_manifests_hold_the_chosen_spelling_and_the_rest_is_the_same(tmp_path: Path) -> None:
    settings = SourceSettings(batches=2)
    mixed = Listing(Recordings(["Parus major", "parus major", "Parus major", "Pica pica", "PARUS MAJOR"]), settings)
    plain = Listing(Recordings(["Parus major", "Parus major", "Parus major", "Pica pica", "Parus major"]), settings)
    assert mixed.species == plain.species == ["Parus major", "Pica pica"]
    assert species_of(mixed) == ["Parus major", "Pica pica"]
    for table in ("0", "1", "exclusions", "grouping"):
        assert mixed.manifests.digest(table) == plain.manifests.digest(table)
    assert (len(mixed.notes), plain.notes) == (1, [])


def test_labels_without_variants_are_kept_as_they_are(tmp_path: Path) -> None:
    listing = Listing(Recordings(["parus  major", "PICA-pica"]), SourceSettings(batches=1))
    assert listing.species == ["PICA-pica", "parus  major"]
    assert ",parus  major,sha256" in listing.manifests.text("0")


def test_boxes_have_one_spelling_too_and_unknown_species_are_recognised_in_any_spelling() -> None:
    labels = ("Pica pica", "pica pica", "Pica Pica", "pica pica", "UNKNOWN", "Parus major")
    boxes = [Box('000, "a\nb".wav', float(i), i + 1.0, label) for i, label in enumerate(labels)]
    listing = Listing(Recordings([""], boxes), SourceSettings(batches=1))
    assert listing.species == ["Parus major", "pica pica"]
    text = listing.manifests.text("boxes")
    assert (text.count(",pica pica,"), text.count(",Pica"), text.count("UNKNOWN,no species")) == (4, 0, 1)


def test_a_recording_of_an_unknown_species_in_another_spelling_is_excluded() -> None:
    listing = Listing(Recordings(["Unknown", "mystery_mystery", "A", "B"]), SourceSettings(batches=1))
    assert listing.species == ["A", "B"]
    assert listing.manifests.text("exclusions").count("its label is not a species") == 2


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


FOLDERS = ("Parus_major/a.wav", "Parus major/b.wav", "parus-major/c.wav", "Pica pica/d.wav")


def folder(tmp: Path) -> SourceSettings:
    write(tmp / "r", *FOLDERS)
    return SourceSettings(type="folder", root=str(tmp / "r"))


def table(tmp: Path) -> SourceSettings:
    folder(tmp)
    lines = [f"{name},{name.split('/')[0]}\n" for name in FOLDERS]
    (tmp / "r" / "birds.csv").write_text("file,species\n" + "".join(lines))
    return SourceSettings(type="table", table=str(tmp / "r" / "birds.csv"))


def archive(tmp: Path) -> SourceSettings:
    with zipfile.ZipFile(tmp / "birds.zip", "w") as opened:
        for name in FOLDERS:
            opened.writestr(name.replace("/", "_sound/"), name)
    return SourceSettings(type="kaggle", root=str(tmp / "birds.zip"))


def xc(tmp: Path) -> SourceSettings:
    settings = SourceSettings(type="xeno_canto", lock=str(tmp / "lock"), xeno_canto={"query": "grp:birds"})
    lines = [
        entry(str(i), name, f"{i}.mp3", file="//x/y")
        for i, name in enumerate(("Parus major", "Parus major", "PARUS  major", "Pica pica"))
    ]
    write_lock(tmp / "lock", xeno_canto.source_key(settings.xeno_canto), json.loads(json.dumps(lines)), "id")
    return settings


@pytest.mark.parametrize("make", [folder, table, archive, xc])
def test_spellings_are_unified_over_every_source(make, tmp_path: Path) -> None:
    settings = make(tmp_path)
    listing = Listing(source_of(settings, tmp_path / "cache" / "x"), settings)
    assert listing.species == ["Parus major", "Pica pica"]
    assert [note for note in listing.notes if "1 species has several spellings" in note]


@given(st.text(st.characters(max_codepoint=127)))
def test_names_in_ascii_have_the_key_of_the_general_rule(name: str) -> None:
    """A zero-width space, which is ignored, leads to the general rule."""
    assert label_key(name) == label_key(name + "\u200b")
