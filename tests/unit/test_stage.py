"""The frame of a stage: its log, its errors, its progress."""

import argparse
import logging
import os
from pathlib import Path

import pytest

from autobird.audio.settings import WindowSettings
from autobird.core.errors import AutobirdError
from autobird.core.stage import Progress, duration, log, parser, run, settings_of, stage


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


@pytest.mark.parametrize(("seconds", "text"), [(4.21, "4.2 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
