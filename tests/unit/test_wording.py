"""Numbers with their nouns in messages."""

import pytest

from autobird.core.wording import counted


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
