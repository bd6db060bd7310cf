"""Atomic writes, lock files, and `.npy` files that are written by appending."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from autobird.audio.npy import NpyWriter
from autobird.core.files import atomic, locked, write_text


def test_a_failed_write_leaves_the_old_file_and_no_temporary_file(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    write_text(file, "old")

    def fail() -> None:
        with atomic(file) as temporary:
            temporary.write_text("incomplete")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_a_process_waits_for_the_lock_and_removes_stale_temporary_files(tmp_path: Path) -> None:
    file = tmp_path / "out[1].txt"
    order: list[str] = []
    inside = threading.Event()

    def other_process() -> None:
        with locked([file]):
            inside.set()
            (tmp_path / ".out[1].txt.123.tmp").write_text("incomplete")
            order.append("other starts")
            time.sleep(0.1)
            order.append("other ends")

    thread = threading.Thread(target=other_process)
    thread.start()
    assert inside.wait(10)
    with locked([file]):
        order.append("own")
        assert not list(tmp_path.glob(".out*.tmp"))
    thread.join()
    assert order == ["other starts", "other ends", "own"]


@pytest.mark.parametrize(("dtype", "row_shape"), [("<i2", ()), ("<f2", (64,)), ("<f4", (3, 5))])
def test_appended_arrays_load_as_one_array(tmp_path: Path, dtype: str, row_shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 100, (n, *row_shape)).astype(dtype) for n in (3, 0, 7)]
    with NpyWriter(tmp_path / "x.npy", dtype, row_shape) as out:
        for part in parts:
            out.append(part.astype(np.float64))  # stored in the type of the file
    loaded = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(loaded, np.concatenate(parts))
    assert loaded.dtype == np.dtype(dtype)


def test_a_file_without_appended_arrays_is_valid(tmp_path: Path) -> None:
    with NpyWriter(tmp_path / "x.npy", "<f2", (64,)):
        pass
    assert np.load(tmp_path / "x.npy").shape == (0, 64)
