"""Running a stage: its log, its errors, its progress."""

import argparse
import io
import logging
import os
import re
from pathlib import Path

import pytest

from autobird.audio.settings import WindowSettings
from autobird.core.errors import AutobirdError
from autobird.core.progress import Progress, RecordingProgress
from autobird.core.stage import format_duration, log, parser, run, settings_of, stage


def arguments(tmp_path: Path) -> argparse.Namespace:
    return parser("x").parse_args(["--log", str(tmp_path / "logs" / "x.log")])


def test_the_log_has_settings_duration_and_the_output_of_c_libraries(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    args = arguments(tmp_path)
    with stage("x", args, [tmp_path / "out"]):
        log.info("wrote %d files", 3)
        os.write(2, b"warning of a decoder\n")
    text = args.log.read_text()
    assert "x: settings {}" in text
    assert "wrote 3 files" in text
    assert "warning of a decoder" in text
    assert "done in" in text
    shown = capfd.readouterr().err
    assert "[x] done in" in shown
    assert "warning" not in shown


def test_an_error_that_users_can_correct_is_one_line_without_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_invalid_settings_raise_an_error_with_the_class() -> None:
    with pytest.raises(AutobirdError, match="WindowSettings"):
        settings_of(WindowSettings, '{"hopp": 1}')


def test_progress_is_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("train", 10, "epochs", interval=0)
    progress(5, "loss 1.0")
    progress(10)
    start, *lines = capsys.readouterr().err.splitlines()
    assert start.startswith("[train] 0 of 10 epochs, ")
    assert re.fullmatch(r"\[train\] 5 of 10 epochs, \d\d:\d\d left, loss 1\.0", lines[0])
    assert re.fullmatch(r"\[train\] 10 of 10 epochs, 00:00 left", lines[1])
    assert len(lines) == 2


def test_progress_of_a_stage_that_failed_writes_nothing_to_the_closed_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its bar is closed when Python ends, and an error there would be printed after the error of the stage."""
    terminal = io.StringIO()
    monkeypatch.setattr("autobird.core.progress.terminal", lambda: terminal)
    progress = Progress("embed", 10, "recordings", interval=0)
    progress(5)
    terminal.close()
    progress._bar.close()


def test_progress_prints_at_most_one_line_per_interval(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("train", 1000, "epochs", interval=60)
    for done in range(1, 1001):
        progress(done)
    assert capsys.readouterr().err == ""


def test_the_remaining_time_counts_only_the_work_of_this_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    progress = Progress("train", 100, "epochs", interval=1, done=80)
    now[0] += 60
    progress(90)
    assert capsys.readouterr().err == "[train] 90 of 100 epochs, 01:00 left\n"


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_other_output_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("autobird.core.stage._original_stderr", terminal)
    progress = Progress("train", 4, "epochs", interval=0)
    progress(1)
    shown = terminal.getvalue()
    bar = shown.split("\r\x1b[K")[-1]
    assert re.fullmatch(r"\[train\] [#█]{6}[. ]{18} 1 of 4 epochs, \S+ left\r", bar)
    progress(4)
    assert terminal.getvalue().endswith("\r\x1b[K\r")  # the bar is removed at the end


def test_progress_over_recordings_logs_one_line_at_the_end(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level("INFO", "autobird"), RecordingProgress("recordings", 3) as progress:
        progress(1800)
        progress(1800)
        progress(0, unusable=True)
    [line] = caplog.messages
    assert re.fullmatch(r"3 recordings: 1\.00 h of audio at [\d,]+ times real time, 1 unusable", line)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "text"), [(4.21, "4.2 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_durations_are_formatted_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
