"""Outputs appear whole or not at all, and appended arrays are ordinary .npy files."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from autobird.audio.npy import NpyWriter
from autobird.core.files import atomic, locked, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    write_text(file, "old")

    def fail() -> None:
        with atomic(file) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_a_successor_waits_for_an_orphan_and_removes_its_leftovers(tmp_path: Path) -> None:
    file = tmp_path / "out[1].txt"
    order: list[str] = []
    inside = threading.Event()

    def orphan() -> None:
        with locked([file]):
            inside.set()
            (tmp_path / ".out[1].txt.123.tmp").write_text("half")
            order.append("orphan")
            time.sleep(0.1)
            order.append("orphan ends")

    thread = threading.Thread(target=orphan)
    thread.start()
    assert inside.wait(10)
    with locked([file]):
        order.append("successor")
        assert not list(tmp_path.glob(".out*.tmp"))
    thread.join()
    assert order == ["orphan", "orphan ends", "successor"]


@pytest.mark.parametrize(("dtype", "row"), [("<i2", ()), ("<f2", (64,)), ("<f4", (3, 5))])
def test_appended_arrays_load_as_one(tmp_path: Path, dtype: str, row: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 100, (n, *row)).astype(dtype) for n in (3, 0, 7)]
    with NpyWriter(tmp_path / "x.npy", dtype, row) as out:
        firsts = [out.append(p.astype(np.float64)) for p in parts]  # stored in the type of the file
    assert firsts == [0, 3, 3]
    loaded = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(loaded, np.concatenate(parts))
    assert loaded.dtype == np.dtype(dtype)


def test_an_empty_batch_is_a_valid_array(tmp_path: Path) -> None:
    with NpyWriter(tmp_path / "x.npy", "<f2", (64,)):
        pass
    assert np.load(tmp_path / "x.npy").shape == (0, 64)
