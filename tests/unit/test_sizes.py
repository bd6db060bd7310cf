"""Sizes of files as text."""

import pytest

from autobird.release.sizes import size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [(340, "0.3 kB"), (24_680, "24.7 kB"), (99_940, "99.9 kB"), (100_000, "0.1 MB"), (51_700_000, "51.7 MB")],
)
def test_a_size_below_a_tenth_of_a_megabyte_is_in_kilobytes(size: int, text: str) -> None:
    assert size_text(size) == text
