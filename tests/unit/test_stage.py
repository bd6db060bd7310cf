"""The frame of a stage: its log, its errors, its progress."""

import argparse
import io
import logging
import os
import re
from pathlib import Path

import pytest

from autobird.audio.settings import WindowSettings
from autobird.core.errors import AutobirdError
from autobird.core.stage import Progress, Speed, duration, log, parser, run, settings_of, stage


def arguments(tmp_path: Path) -> argparse.Namespace:
    return parser("x").parse_args(["--log", str(tmp_path / "logs" / "x.log")])


def test_the_log_tells_settings_and_time_and_takes_what_c_libraries_print(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    args = arguments(tmp_path)
    with stage("x", args, [tmp_path / "out"]):
        log.info("did %d things", 3)
        os.write(2, b"noise of a decoder\n")
    text = args.log.read_text()
    assert "x: settings {}" in text
    assert "did 3 things" in text
    assert "noise of a decoder" in text
    assert "done in" in text
    shown = capfd.readouterr().err
    assert "[x] done in" in shown
    assert "noise" not in shown


def test_an_error_for_people_is_one_line_without_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = arguments(tmp_path)

    def main(_argv: object) -> None:
        with stage("x", args, []):
            raise AutobirdError("file f: value v; do this")

    with pytest.raises(SystemExit) as end:
        run(main)
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: file f: value v; do this\n"
    assert "Traceback" not in args.log.read_text()
    assert not log.handlers


def test_a_bug_is_logged_with_its_traceback(tmp_path: Path) -> None:
    args = arguments(tmp_path)
    with pytest.raises(ZeroDivisionError), stage("x", args, []):
        _ = 1 / 0
    assert "Traceback" in args.log.read_text()
    assert logging.getLogger("autobird") is log


def test_settings_that_do_not_fit_name_their_class() -> None:
    with pytest.raises(AutobirdError, match="WindowSettings"):
        settings_of(WindowSettings, '{"hopp": 1}')


def test_progress_says_how_far_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("train", 10, "epochs", every=0)
    progress(5, "loss 1.0")
    assert capsys.readouterr().err.startswith("[train] 5 of 10 epochs, loss 1.0, 0.0 s to go")


class Terminal(io.StringIO):
    """Where somebody looks."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_what_others_print_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("autobird.core.stage._terminal", terminal)
    progress = Progress("train", 4, "epochs", every=0)
    progress(1)
    progress(4)
    first, last = terminal.getvalue().split("\r\x1b[K")[1:3]
    assert first.startswith(f"[train] {'█' * 6}{'░' * 18} 1 of 4 epochs, ")
    assert first.endswith("\r")
    assert last.startswith(f"[train] {'█' * 24} 4 of 4 epochs")
    assert terminal.getvalue().endswith("\r\x1b[K")  # nothing is left of it


def test_the_speed_over_recordings_is_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level("INFO", "autobird"), Speed("recordings", 3) as speed:
        speed(1800)
        speed(1800)
        speed(0, quarantined=True)
    [line] = caplog.messages
    assert re.fullmatch(r"3 recordings: 1\.00 h of sound at [\d,]+ times real time, 1 quarantined", line)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "text"), [(4.21, "4.2 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
