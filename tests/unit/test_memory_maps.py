"""Memory maps of many files: more than the limit of open files, and read in random order."""

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

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


def test_rows_that_are_requested_have_their_values(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5000, 16)).astype(np.float16)
    np.save(tmp_path / "a.npy", values)
    [array] = memory_maps([tmp_path / "a.npy"])
    expect_random_reads([array, values])
    first = np.array([0, 4990, 17, 4990])
    request_rows(array, first, 10)
    request_rows(values, first, 10)
    assert np.array_equal(array[first[:, None] + np.arange(10)], values[first[:, None] + np.arange(10)])
