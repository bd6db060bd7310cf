"""Memory maps of many files: more than the limit of open files, and read in random order."""

import mmap
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from autobird.core import memory_maps as found
from autobird.core.errors import AutobirdError
from autobird.core.memory_maps import expect_random_reads, memory_maps, request_rows


@pytest.fixture
def few_open_files() -> Iterator[int]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_there_can_be_more_maps_than_the_limit_of_open_files(few_open_files: int, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(12).reshape(6, 2))
    maps = memory_maps([tmp_path / "a.npy"] * (few_open_files + 10))
    assert all(array.sum() == 66 for array in maps)


def test_there_can_be_several_calls_with_many_maps(few_open_files: int, tmp_path: Path) -> None:
    """As in the training of a student: the mel frames of the corpus, and then those of the training sounds."""
    np.save(tmp_path / "a.npy", np.arange(12).reshape(6, 2))
    maps = [memory_maps([tmp_path / "a.npy"] * (few_open_files + 100)) for _ in range(3)]
    assert all(array.sum() == 66 for of_call in maps for array in of_call)


def test_more_maps_than_the_system_allows_are_refused_with_the_remedy(
    few_open_files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)  # the limit cannot be raised
    np.save(tmp_path / "a.npy", np.arange(12))
    with pytest.raises(
        AutobirdError, match=rf"{few_open_files + 10} more files.*a\.npy; raise the limit.*corpus\.batches"
    ):
        memory_maps([tmp_path / "a.npy"] * (few_open_files + 10))


def test_the_pages_of_all_requested_rows_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row has 320 bytes, so rows begin and end within pages; the last row ends the file."""
    np.save(tmp_path / "a.npy", np.zeros((5000, 160), np.float16))
    [array] = memory_maps([tmp_path / "a.npy"])
    advice: list[tuple[int, int, int]] = []

    class Map:
        def madvise(self, *arguments: int) -> None:
            advice.append(arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(found, "_map_of", lambda _: Map())
    first = [0, 17, 4990]
    request_rows(array, np.array(first), 10)
    assert [option for option, _, _ in advice] == [mmap.MADV_WILLNEED] * 3
    header = (tmp_path / "a.npy").stat().st_size - array.nbytes
    for row, (_, begin, length) in zip(first, advice, strict=True):
        start, end = header + 320 * row, header + 320 * (row + 10)
        assert begin % mmap.PAGESIZE == 0
        assert start - mmap.PAGESIZE < begin <= start
        assert begin + length == end


def test_rows_that_are_requested_have_their_values(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5000, 16)).astype(np.float16)
    np.save(tmp_path / "a.npy", values)
    [array] = memory_maps([tmp_path / "a.npy"])
    expect_random_reads([array, values])
    first = np.array([0, 4990, 17, 4990])
    request_rows(array, first, 10)
    request_rows(values, first, 10)
    assert np.array_equal(array[first[:, None] + np.arange(10)], values[first[:, None] + np.arange(10)])
