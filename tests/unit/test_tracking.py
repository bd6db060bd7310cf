"""W&B is offline unless the user is logged in, and never ends a training."""

import logging
import sys
import types
from pathlib import Path

import pytest

from autobird.model.tracking import Tracker


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_it_writes_an_offline_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "autobird"),
        Tracker(True, tmp_path / "w", "abc", "group", '{"epochs": 2}') as tracker,
    ):
        tracker.log({"epoch": 1, "loss": 0.5})
    assert "W&B offline" in caplog.text
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    assert [p for p in (tmp_path / "w").rglob("*.wandb") if p.stat().st_size > 0]


def test_it_does_nothing_where_it_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tracker(False, tmp_path / "w", "abc", "group", "{}") as tracker:
        tracker.log({"epoch": 1})
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with Tracker(True, tmp_path / "w", "abc", "group", "{}") as tracker:
        tracker.log({"epoch": 1})
    assert not (tmp_path / "w").exists()


def fail(*_args: object, **_options: object) -> object:
    raise RuntimeError("no disk")


def test_its_trouble_is_logged_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = types.SimpleNamespace(log=fail, finish=fail)
    module = types.SimpleNamespace(login=lambda prompt: True, init=lambda **_: run, Settings=lambda **_: None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    with Tracker(True, tmp_path / "w", "abc", "group", "{}") as tracker:
        tracker.log({"epoch": 1})
        tracker.log({"epoch": 2})
    assert caplog.text.count("no disk") == 1
    module.init = lambda **_: types.SimpleNamespace(log=lambda *a, **k: None, finish=fail)
    with Tracker(True, tmp_path / "w", "abc", "group", "{}"):
        pass
    module.init = fail
    with Tracker(True, tmp_path / "w", "abc", "group", "{}") as tracker:
        tracker.log({"epoch": 1})
    assert caplog.text.count("no disk") == 3


def test_it_is_not_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with caplog.at_level(logging.INFO, "autobird"), Tracker(True, tmp_path / "w", "abc", "group", "{}") as tracker:
        tracker.log({"epoch": 1})
    assert "not installed" in caplog.text
