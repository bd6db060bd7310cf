"""Tracking with W&B: nothing is sent unless the user asks for it, and errors of W&B never stop a training."""

import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from autobird.config import load_config
from autobird.core.errors import AutobirdError
from autobird.model.tracking import Tracker, TrackingMode, tracking_mode


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


class FakeWandb:
    """A stub of the module `wandb` that records the calls. `login` returns or raises the given value."""

    def __init__(self, login: bool | Exception) -> None:
        self._login, self.logins = login, 0
        self.inits: list[dict[str, Any]] = []
        self.Settings = lambda **_: None

    def login(self, prompt: bool) -> bool:
        assert not prompt
        self.logins += 1
        if isinstance(self._login, Exception):
            raise self._login
        return self._login

    def init(self, **options: Any) -> Any:
        self.inits.append(options)
        return types.SimpleNamespace(log=lambda *a, **k: None, finish=lambda **k: None)


def track(
    monkeypatch: pytest.MonkeyPatch, folder: Path, setting: TrackingMode, login: bool | Exception = True
) -> tuple[str | None, FakeWandb]:
    """Log an epoch with a stub of W&B; return the mode in which it was started, None if it was not, and the stub."""
    module = FakeWandb(login)
    monkeypatch.setitem(sys.modules, "wandb", module)
    with Tracker(setting, folder / "w", "abc", "group", "{}") as tracker:
        tracker.log({"epoch": 1})
    return (module.inits[0]["mode"] if module.inits else None), module


def test_tracking_offline_writes_files_of_wandb(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "autobird"),
        Tracker("offline", tmp_path / "w", "abc", "group", '{"epochs": 2}') as tracker,
    ):
        tracker.log({"epoch": 1, "loss": 0.5})
    assert "W&B offline" in caplog.text
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    assert [p for p in (tmp_path / "w").rglob("*.wandb") if p.stat().st_size > 0]


def test_being_logged_in_sends_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {'a' * 40}\n")
    mode, module = track(monkeypatch, tmp_path, "offline")
    assert mode == "offline"
    assert module.logins == 0


@pytest.mark.parametrize(
    ("setting", "variable", "mode"),
    [
        ("offline", None, "offline"),
        ("offline", "", "offline"),
        ("offline", "online", "online"),
        ("offline", "disabled", "none"),
        ("online", None, "online"),
        ("online", "offline", "offline"),
        ("online", "dryrun", "offline"),
        ("online", "disabled", "none"),
        ("none", None, "none"),
        ("none", "online", "none"),
    ],
)
def test_the_mode_follows_from_the_setting_and_the_variable_wandb_mode(
    setting: TrackingMode, variable: str | None, mode: TrackingMode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if variable is not None:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert tracking_mode(setting) == mode
    started, module = track(monkeypatch, tmp_path, setting)
    assert started == (None if mode == "none" else mode)
    assert module.logins == (mode == "online")
    assert (tmp_path / "w").exists() == (mode != "none")


@pytest.mark.parametrize("login", [False, RuntimeError("401")])
def test_online_without_a_login_continues_offline_with_one_warning(
    login: bool | Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mode, module = track(monkeypatch, tmp_path, "online", login)
    assert mode == "offline"
    assert module.inits[0]["resume"] is None
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "`wandb login`" in warnings[0]
    assert "WANDB_API_KEY" in warnings[0]


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("none", "none"),
        ("offline", "offline"),
        ("online", "online"),
        (True, "offline"),
        (False, "none"),
        (None, "none"),
    ],
)
def test_true_and_false_mean_offline_and_none(value: object, mode: str) -> None:
    assert load_config({"run": {"tracking": value}}).run.tracking == mode


def test_offline_is_the_default_and_another_value_is_an_error() -> None:
    assert load_config({}).run.tracking == "offline"
    with pytest.raises(AutobirdError, match=r"run\.tracking: 'yes' is not valid: input should be 'none', 'offline' or"):
        load_config({"run": {"tracking": "yes"}})


def fail(*_args: object, **_options: object) -> object:
    raise RuntimeError("no disk")


def test_errors_of_wandb_are_logged_and_the_training_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = types.SimpleNamespace(log=fail, finish=fail)
    module = types.SimpleNamespace(init=lambda **_: run, Settings=lambda **_: None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    with Tracker("offline", tmp_path / "w", "abc", "group", "{}") as tracker:
        tracker.log({"epoch": 1})
        tracker.log({"epoch": 2})
    assert caplog.text.count("no disk") == 1
    module.init = lambda **_: types.SimpleNamespace(log=lambda *a, **k: None, finish=fail)
    with Tracker("offline", tmp_path / "w", "abc", "group", "{}"):
        pass
    module.init = fail
    with Tracker("offline", tmp_path / "w", "abc", "group", "{}") as tracker:
        tracker.log({"epoch": 1})
    assert caplog.text.count("no disk") == 3


@pytest.mark.parametrize(("setting", "level"), [("offline", "INFO"), ("online", "WARNING")])
def test_a_missing_wandb_is_logged_and_the_training_continues(
    setting: TrackingMode, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with caplog.at_level(logging.INFO, "autobird"), Tracker(setting, tmp_path / "w", "abc", "group", "{}") as tracker:
        tracker.log({"epoch": 1})
    assert [r.levelname for r in caplog.records if "not installed" in r.getMessage()] == [level]
