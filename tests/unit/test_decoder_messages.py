"""Messages of decoders on standard error are bounded, and nothing else is lost."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autobird.core.decoder_messages import KEPT, short_decoder_messages
from autobird.core.stage import log, parser, stage
from autobird.core.workers import run_each

FLOOD = b"Note: Illegal Audio-MPEG-Header 0x01fffb12 at offset 626.\nNote: Trying to resync...\n"


def flood(count: int) -> int:
    for _ in range(count):
        os.write(2, FLOOD)
    os.write(2, b"other line %d\n" % count)
    return count


def test_the_first_messages_are_kept_and_the_others_are_counted(tmp_path: Path) -> None:
    with (tmp_path / "err").open("wb") as file, short_decoder_messages(file.fileno()):
        flood(5000)
    lines = (tmp_path / "err").read_text().splitlines()
    assert len([line for line in lines if line.startswith("Note: ")]) == KEPT
    assert "other line 5000" in lines
    assert lines[-1] == "10000 messages of audio decoders in all"
    assert len(lines) < KEPT + 10


def test_other_lines_and_unfinished_lines_pass_unchanged(tmp_path: Path) -> None:
    text = "".join(f"[2026-01-01 00:00:00 +0000] [{n}] [INFO] line\n" for n in range(3000)) + "x" * 10000 + "\nno end"
    with (tmp_path / "err").open("wb") as file, short_decoder_messages(file.fileno()):
        os.write(2, text.encode())
    assert (tmp_path / "err").read_text() == text


def test_standard_error_is_as_before_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with short_decoder_messages():
        os.write(2, b"inside\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "inside\nafter\n"


def test_messages_of_c_libraries_in_worker_processes_of_a_stage_are_bounded(tmp_path: Path) -> None:
    args = parser("x").parse_args(["--log", str(tmp_path / "x.log")])
    with stage("x", args, []):
        results = sorted(result for _, result in run_each(flood, [1000, 2000, 3000], 2))
        ctypes.CDLL(None).perror(b"other C code")
        log.info("a line of the log")
    text = (tmp_path / "x.log").read_text()
    assert results == [1000, 2000, 3000]
    assert text.count("Note: ") == KEPT
    assert all(part in text for part in ("other line 1000", "other line 3000", "other C code", "a line of the log"))
    assert "12000 messages of audio decoders in all" in text


def test_a_forked_process_does_not_wait_for_a_reader_after_the_death_of_its_parent(tmp_path: Path) -> None:
    """The child writes more than a pipe holds after its parent was killed."""
    program = (
        "import os, signal, sys\n"
        "from autobird.core.decoder_messages import short_decoder_messages\n"
        "with short_decoder_messages():\n"
        "    alive, parent = os.pipe()\n"
        "    if os.fork():\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    os.close(parent)\n"
        "    os.read(alive, 1)  # returns when the parent is dead\n"
        "    try:\n"
        "        for _ in range(1000): os.write(2, b'x' * 1000)\n"
        "    except BrokenPipeError:\n"
        "        print('broken pipe', flush=True)\n"
        "    os._exit(0)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "scripts")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "broken pipe\n"
