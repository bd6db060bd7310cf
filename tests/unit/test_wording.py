"""Numbers with their nouns in messages."""

import pytest

from autobird.core.wording import counted, joined_notes, listed, separate_notes


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("recording",), "0 recordings"),
        (1, ("recording",), "1 recording"),
        (2, ("test recording",), "2 test recordings"),
        (1, ("file is", "files are"), "1 file is"),
        (3, ("file is", "files are"), "3 files are"),
    ],
)
def test_a_noun_has_the_number_of_its_count(count: int, words: tuple[str, ...], text: str) -> None:
    assert counted(count, *words) == text


def test_notes_are_joined_in_several_steps_and_separated_again() -> None:
    decoded = joined_notes(("the file is cut", "", "channel 2 of 2 is silent"))
    assert separate_notes(joined_notes((decoded, "its sampling rate is 8000 Hz"))) == [
        "the file is cut", "channel 2 of 2 is silent", "its sampling rate is 8000 Hz",
    ]  # fmt: skip
    assert joined_notes(("", "")) == ""
    assert separate_notes("") == []


def test_names_are_listed_with_commas_and_an_and() -> None:
    assert [listed("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
