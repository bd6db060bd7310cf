"""A server answers hostile requests with declared statuses and goes on. 10,000 of them: `python -m tests.load.hostile BUNDLE`."""

import sys
from pathlib import Path

import pytest

from tests.load.crafted import CRAFTED
from tests.load.hostile import attack
from tests.unit.test_predict import make_bundle
from tests.unit.test_server import start

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the processes from /proc")


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=pytest.mark.long)])
def test_hostile_requests_get_declared_statuses_and_cost_nobody_else(tmp_path: Path, count: int) -> None:
    server = start(make_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite", "--workers", "2")
    try:
        _, faults = attack(server, 1, range(count), 16)
        assert faults == []
    finally:
        server.process.terminate()
        _, messages = server.process.communicate(timeout=60)
    assert "Traceback" not in messages
    assert "Warning: " not in messages.replace("Warning: Xing", "")


@pytest.mark.parametrize("share", [0.03, pytest.param(1.0, marks=pytest.mark.long)])
def test_crafted_recordings_are_decoded_in_bounded_memory(tmp_path: Path, share: float) -> None:
    """A worker process that is killed, because of its time limit or a crash, would give another status."""
    server = start(make_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite", "--workers", "1", "--time-limit", "60")
    try:
        for name, (megabytes, make) in CRAFTED.items():
            status, value, _ = server.ask("/v1/predict?windows=0", make(share * megabytes))
            assert status in (200, 413, 422), name
            assert "takes too long" not in str(value), name
            assert "Damaged" not in str(value), name
        assert "autobird_processes_replaced_total 0.0" in server.ask("/metrics")[1].decode()
    finally:
        server.process.terminate()
        server.process.communicate(timeout=60)
