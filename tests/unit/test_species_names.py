"""Species lists: names by label, scientific name, common name and synonym."""

from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.predict.species_names import SpeciesNames, names_of, read_species_list

LABELS = ["Parus major", "Corvus corone", "Apus apus"]
OTHERS = [
    ["Parus major", "Great Tit", "Kohlmeise"],
    ["Corvus corone", "Carrion Crow"],
    ["Pica pica", "Eurasian Magpie"],
]


def _list(folder: Path, text: str) -> Path:
    path = folder / "list.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_of_all_kinds_and_spellings_are_found_in_the_order_of_the_list(tmp_path: Path) -> None:
    path = _list(
        tmp_path, "\ufeffkohlmeise\n\n# swifts\nApus_apus\ncarrion-crow\nParus major_Great Tit\nPARUS  MAJOR\n"
    )
    assert read_species_list(path, SpeciesNames(LABELS, OTHERS)) == ("Parus major", "Apus apus", "Corvus corone")


def test_labels_that_are_common_names_are_found_by_the_scientific_name() -> None:
    names = SpeciesNames(["Great Tit", "Carrion Crow"], OTHERS)
    assert names.find("parus major") == "Great Tit"
    assert names.find("Pica pica") is None


def test_unknown_names_are_all_named_with_similar_ones(tmp_path: Path) -> None:
    path = _list(tmp_path, "Parus majr\nPica pica\nApus apus\n")
    with pytest.raises(AutobirdError) as error:
        read_species_list(path, SpeciesNames(LABELS, OTHERS))
    assert "'Parus majr' (similar: Parus major), 'Pica pica'" in str(error.value)
    assert "list.txt" in str(error.value)


def test_an_empty_or_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AutobirdError, match="names no species"):
        read_species_list(_list(tmp_path, "# nothing\n"), SpeciesNames(LABELS))
    with pytest.raises(AutobirdError, match="cannot be read"):
        read_species_list(tmp_path / "none.txt", SpeciesNames(LABELS))


def test_a_name_of_two_species_names_neither() -> None:
    names = SpeciesNames(
        ["Parus major", "Parus minor"], [["Parus major", "Tit"], ["Parus minor", "Tit", "Japanese Tit"]]
    )
    assert names.find("Tit") is None
    assert names.find("japanese tit") == "Parus minor"
    both = SpeciesNames(["Parus major", "Parus minor"], [["Parus major", "Parus minor", "Tit"]])
    assert both.find("Tit") is None


def test_a_table_of_names_adds_synonyms(tmp_path: Path) -> None:
    table = tmp_path / "names.csv"
    table.write_text("species;local\nCorvus corone;Rabenkrähe\n", encoding="latin-1")
    assert names_of(LABELS, table).find("rabenkrähe") == "Corvus corone"
