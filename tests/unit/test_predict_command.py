"""`autobird predict`: decoders that crash or hang, kills and resumption, file names, missing paths, and outputs."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from autobird import cli
from autobird.core.workers import Crash, Killed, TimedOut
from autobird.predict import Classifier, batch, files
from autobird.predict.files import FileJob, FileResult, predict_files
from autobird.predict.own_files import MANIFEST
from autobird.predict.run import files_table, journal_path
from tests.unit.test_predict import make_bundle

ROOT = Path(__file__).parents[2]

SUBPROCESS = f"""
import os, signal, sys
sys.path[:0] = [{str(ROOT / "scripts")!r}, {str(ROOT)!r}]
from autobird import cli
from autobird.predict import files
predict_file = files.predict_file
def hang_at_d(classifier, audio, name, *rest):
    if name.endswith("d.wav"):
        with open(os.path.join(os.path.dirname(audio), "..", "hanging.pid"), "w") as file:
            file.write(str(os.getpid()))
        signal.pause()
    return predict_file(classifier, audio, name, *rest)
files.predict_file = hang_at_d
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background of a shell ignores it
cli.main(sys.argv[1:])
"""
"""The command, whose decoder hangs at the file d.wav."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), (0.0, 1.0))


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """A folder of five recordings, from the longest, a.wav, to the shortest, e.wav, of which c.wav is text."""
    folder = tmp_path / "songs"
    folder.mkdir()
    for number, name in enumerate("abcde"):
        samples = 0.1 * np.random.default_rng(number).standard_normal(16000 * (10 - number))
        soundfile.write(folder / f"{name}.wav", samples, 16000)
    (folder / "c.wav").write_text("words" * 51_200)
    return folder


def run(*arguments: object) -> int:
    """Run `autobird predict` in this process; return its exit status."""
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


Fault = Callable[[str], None]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> Callable[[Fault], None]:
    """Makes the decoder of the workers call a function with the name of each file."""
    classifier, original = Classifier(bundle), files.predict_file

    def install(fault: Fault) -> None:
        def predict_file(_: Any, audio: Any, name: str, *rest: Any) -> FileResult:
            fault(Path(name).name)
            return original(classifier, audio, name, *rest)

        monkeypatch.setattr(files, "_classifier_of_worker", lambda *_: classifier)
        monkeypatch.setattr(files, "predict_file", predict_file)

    return install


def kill_with(number: int) -> None:
    """End this process by a signal, without the traceback of pytest's handler."""
    signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
    os.kill(os.getpid(), number)


def results_of(songs: Path, bundle: Path, workers: int = 2, time_limit: float | None = None) -> dict[str, FileResult]:
    names = sorted(songs.iterdir())
    jobs = [FileJob(bundle, path, path.name) for path in names]
    return {names[n].name: result for n, result in predict_files(jobs, workers, time_limit)}


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_decoder_that_crashes_costs_its_file(
    bundle: Path, songs: Path, faulty: Callable[[Fault], None], workers: int
) -> None:
    expected = results_of(songs, bundle)
    faulty(lambda name: kill_with(signal.SIGSEGV) if name in ("a.wav", "d.wav") else None)
    found = results_of(songs, bundle, workers)
    for name in ("a.wav", "d.wav"):
        assert found[name].error == (
            "the decoder crashed on this file (SIGSEGV); save the file again with another program"
        )
    assert {n: r for n, r in found.items() if n not in ("a.wav", "d.wav")} == {
        n: r for n, r in expected.items() if n not in ("a.wav", "d.wav")
    }


def test_a_decoder_that_hangs_costs_its_file(bundle: Path, songs: Path, faulty: Callable[[Fault], None]) -> None:
    faulty(lambda name: signal.pause() if name == "b.wav" else None)
    found = results_of(songs, bundle, 2, 3.0)
    assert found["b.wav"].error.startswith("took longer than 3 s; cut the recording, or raise the limit")
    assert not found["b.wav"].is_final
    assert [r.error for n, r in found.items() if n not in ("b.wav", "c.wav")] == [""] * 3


def test_a_file_whose_process_was_killed_is_tried_once_more_and_then_skipped(
    bundle: Path, songs: Path, tmp_path: Path, faulty: Callable[[Fault], None]
) -> None:
    """The kernel kills the largest process when memory runs out, which may be the fault of another one."""
    counts = tmp_path / "counts"
    counts.mkdir()

    def fault(name: str) -> None:
        with (counts / name).open("a") as file:
            file.write("x")
        if name == "a.wav" or (name == "b.wav" and (counts / name).stat().st_size == 1):
            kill_with(signal.SIGKILL)

    faulty(fault)
    found = results_of(songs, bundle)
    assert "its process was killed by SIGKILL twice, perhaps because memory ran out" in found["a.wav"].error
    assert [n for n, r in found.items() if r.error] == ["c.wav", "a.wav"]
    assert {p.name: p.stat().st_size for p in counts.iterdir()} == {
        "a.wav": 2, "b.wav": 2, "c.wav": 1, "d.wav": 1, "e.wav": 1,
    }  # fmt: skip


def test_an_error_in_the_program_costs_the_file_that_causes_it(
    bundle: Path, songs: Path, faulty: Callable[[Fault], None]
) -> None:
    def fault(name: str) -> None:
        if name == "e.wav":
            raise MemoryError("no 3 GB")

    faulty(fault)
    assert results_of(songs, bundle)["e.wav"].error == "cannot be classified (MemoryError: no 3 GB)"


def test_reasons_of_crashes_are_told_apart() -> None:
    kinds = [Crash("SIGABRT"), TimedOut("SIGKILL", 5.0), Killed("SIGKILL", "was killed by SIGKILL")]
    reasons = [files._of_crash("x", kind).error.split(";")[0] for kind in kinds]
    assert reasons == [
        "the decoder crashed on this file (SIGABRT)", "took longer than 5 s",
        "its process was killed by SIGKILL twice, perhaps because memory ran out",
    ]  # fmt: skip


def stopped_at_d(songs: Path, bundle: Path, output: Path, number: int, *options: str) -> "subprocess.Popen[str]":
    """Start the command, and send it a signal when the journal holds a.wav, b.wav and c.wav, and d.wav hangs."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUBPROCESS, "predict", bundle, songs, "--jobs", "1", "--output", output, *options],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    journal = journal_path(output)
    hanging = songs.parent / "hanging.pid"
    hanging.unlink(missing_ok=True)
    while process.poll() is None and not (
        journal.exists() and journal.read_bytes().count(b"\n") == 3 and hanging.exists() and hanging.read_text()
    ):
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)
    process.wait(60)
    return process


@pytest.mark.parametrize("options", [("--csv",), ("--json",), ("--json", "--windows"), ()])
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_killed_run_is_resumed_with_the_same_bytes(
    bundle: Path, songs: Path, tmp_path: Path, options: tuple[str, ...], jobs: int,
    faulty: Callable[[Fault], None], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(bundle, songs, *options, "--output", tmp_path / "whole") == 1
    output = tmp_path / "out"
    stopped_at_d(songs, bundle, output, signal.SIGKILL, *options)
    if "--csv" in options:  # rows of the files that were done
        names = {Path(row["file"]).name for row in csv.DictReader(io.StringIO(output.read_text()))}
        assert names == {"a.wav", "b.wav"}
    decoded = tmp_path / "decoded"

    def remember(name: str) -> None:
        with decoded.open("a") as file:
            file.write(f"{name}\n")

    faulty(remember)
    capsys.readouterr()
    assert run(bundle, songs, *options, "--jobs", jobs, "--output", output) == 1
    assert sorted(decoded.read_text().split()) == ["d.wav", "e.wav"]
    assert output.read_bytes() == (tmp_path / "whole").read_bytes()
    assert not journal_path(output).exists()
    err = capsys.readouterr().err
    assert "out.journal: results of 3 files are taken over\n" in err
    assert "c.wav: skipped: text, not audio" in err
    assert "5 files, " in err
    assert err.endswith("; 3 answered before; 1 skipped\n")
    if "--csv" in options:
        assert files_table(output).read_bytes() == files_table(tmp_path / "whole").read_bytes()


def test_a_killed_run_with_several_formats_is_resumed_with_the_same_bytes(
    bundle: Path, songs: Path, tmp_path: Path
) -> None:
    options = ("--format", "csv,jsonl,raven,raven-combined,parquet,birdnet", "--jobs", "1")
    assert run(bundle, songs, *options, "--output", tmp_path / "whole/d") == 1
    stopped_at_d(songs, bundle, tmp_path / "out/d", signal.SIGKILL, *options)
    folder = tmp_path / "out/d.raven"
    assert sorted(p.name for p in folder.iterdir()) == [
        MANIFEST,
        "a.Table.1.selections.txt",
        "b.Table.1.selections.txt",
    ]
    for name in ("d.csv", "d.jsonl", "d.raven.txt", "d.birdnet.csv"):
        assert {f"{n}.wav" in (tmp_path / "out" / name).read_text() for n in "ab"} == {True}
        assert "e.wav" not in (tmp_path / "out" / name).read_text()
    assert run(bundle, songs, *options, "--output", tmp_path / "out/d") == 1
    contents = [
        {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "whole", tmp_path / "out")
    ]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 6 + 5


def test_an_interrupted_run_keeps_its_journal_and_leaves_no_process(bundle: Path, songs: Path, tmp_path: Path) -> None:
    process = stopped_at_d(songs, bundle, tmp_path / "d.csv", signal.SIGINT, "--csv")
    assert process.returncode == 130
    assert process.stderr
    err = process.stderr.read()  # ends only when no worker holds the pipe
    assert err.splitlines()[-1].startswith("interrupted; the results so far are in ")
    assert "Traceback" not in err
    assert journal_path(tmp_path / "d.csv").read_bytes().count(b"\n") == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a worker that hangs with its parent")
def test_a_killed_run_leaves_no_process_even_if_a_worker_hangs(bundle: Path, songs: Path, tmp_path: Path) -> None:
    stopped_at_d(songs, bundle, tmp_path / "d.csv", signal.SIGKILL, "--csv")
    worker = int((tmp_path / "hanging.pid").read_text())
    deadline = time.monotonic() + 60
    while _is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(worker)


def _is_running(process: int) -> bool:
    """Return whether a process runs; one that ended and was not waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def test_changed_files_other_options_and_damaged_lines_are_not_taken_over(
    bundle: Path, songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    stopped_at_d(songs, bundle, output, signal.SIGKILL, "--json")
    lines = journal_path(output).read_bytes().splitlines(keepends=True)

    def taken_over(*options: str) -> str:
        run(bundle, songs, "--json", "--output", output, *options)
        return capsys.readouterr().err.splitlines()[0].split(": ", 1)[1]

    def unused(number: int) -> str:
        return f"; {number} others are not used (another bundle, other options, changed files, or no result)"

    assert taken_over("--windows") == "results of 0 files are taken over" + unused(3)
    journal_path(output).write_bytes(b"".join(lines) + lines[0][:50])  # a kill cut off the last line
    assert taken_over() == "results of 3 files are taken over"
    others = [lines[0].replace(b'"is_final":', b'"x":'), lines[0].replace(b'"detections":[', b'"x":[')]
    journal_path(output).write_bytes(b"".join([b"{}\n", b"[1]\n", b"\xff\n", *others, *lines]))
    assert taken_over() == "results of 3 files are taken over" + unused(5)
    journal_path(output).write_bytes(b"".join(lines))
    os.utime(songs / "a.wav", ns=(1, 1))
    assert taken_over() == "results of 2 files are taken over" + unused(1)
    hung = lines[0].replace(b'"is_final":true', b'"is_final":false').replace(b'"error":""', b'"error":"took long"')
    journal_path(output).write_bytes(b"".join([hung, *lines[1:]]))
    assert taken_over() == "results of 2 files are taken over" + unused(1)


def test_two_runs_do_not_write_the_same_output(bundle: Path, songs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    process = subprocess.Popen(
        [sys.executable, "-c", SUBPROCESS, "predict", bundle, songs, "--csv", "--jobs", "1", "--output", output],
        stderr=subprocess.DEVNULL,
    )
    while not (journal_path(output).exists() and journal_path(output).stat().st_size):
        time.sleep(0.02)
    done = subprocess.run(
        [sys.executable, "-m", "autobird.cli", "predict", bundle, songs, "--csv", "--output", output],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
    )  # fmt: skip
    process.send_signal(signal.SIGINT)
    process.wait()
    assert done.returncode == 2
    assert "another process writes this output" in done.stderr


def test_the_output_may_be_inside_the_folder(bundle: Path, songs: Path) -> None:
    whole = songs / "d.csv"
    assert run(bundle, songs, "--csv", "--output", whole) == 1
    first = whole.read_bytes(), files_table(whole).read_bytes()
    assert run(bundle, songs, "--csv", "--output", whole) == 1
    assert (whole.read_bytes(), files_table(whole).read_bytes()) == first
    assert b"d.csv" not in b"".join(first)


def test_a_recording_is_not_overwritten(bundle: Path, songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (songs / "a.wav").read_bytes()
    (songs / "b.wav").rename(songs / "b")
    for paths, output in (((songs / "a.wav",), songs / "a.wav"), ((songs,), songs / "b")):
        assert run(bundle, *paths, "--output", output) == 2
        assert "is a recording, and would be overwritten" in capsys.readouterr().err
    assert (songs / "a.wav").read_bytes() == before


def test_the_table_of_files_tells_quiet_silent_and_skipped_files_apart(
    bundle: Path, songs: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).standard_normal(16000 * 3)
    for name, samples in (("quiet", 3e-4 * noise), ("silent", 0 * noise)):
        soundfile.write(songs / f"{name}.wav", samples, 16000)
    assert run(bundle, songs, songs / "nowhere.wav", "--csv", "--output", tmp_path / "d.csv") == 1
    with (tmp_path / "d.files.csv").open(newline="") as file:
        rows = {Path(row["file"]).name: row for row in csv.DictReader(file)}
    assert {n: (r["seconds"], r["status"], r["detections"], r["reason"].split(";")[0]) for n, r in rows.items()} == {
        "a.wav": ("10.000", "detections", "1", ""), "b.wav": ("9.000", "detections", "1", ""),
        "c.wav": ("", "skipped", "", "text, not audio"), "d.wav": ("7.000", "detections", "1", ""),
        "e.wav": ("6.000", "detections", "1", ""), "quiet.wav": ("3.000", "quiet", "0", ""),
        "silent.wav": ("3.000", "silent", "0", ""),
        "nowhere.wav": ("", "skipped", "", "is not there"),
    }  # fmt: skip


def test_a_missing_path_does_not_cost_the_others(bundle: Path, songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, songs / "nowhere.wav", songs / "a.wav", "--json") == 1
    out, err = capsys.readouterr()
    found = {Path(f["file"]).name: f for f in json.loads(out)["files"]}
    assert found["a.wav"]["detections"]
    assert found["nowhere.wav"]["error"] == "is not there; give audio files, or folders of them"
    assert "nowhere.wav: skipped: is not there" in err
    assert err.endswith("1 skipped\n")


LATIN_1 = b"W\xf6lfchen.wav"
NAMES = [LATIN_1, "Wölfchen 鳥.wav".encode(), b"two\nlines \x1b[1m.wav"]


@pytest.fixture
def odd_names(songs: Path) -> Path:
    for name in NAMES:
        os.link(songs / "a.wav", os.fsencode(songs) + b"/" + name)
    return songs


@pytest.mark.parametrize("form", ["", "--csv", "--json"])
@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "utf-8"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"LANG": "C", "LC_ALL": "C"},
     {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}],
)  # fmt: skip
def test_no_output_is_lost_to_a_file_name(
    bundle: Path, odd_names: Path, tmp_path: Path, form: str, variables: dict[str, str]
) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("LANG", "LC_ALL", "PYTHONIOENCODING")}
    command = [sys.executable, "-m", "autobird.cli", "predict", bundle, odd_names, *([form] if form else [])]
    output = tmp_path / "out"

    def done(*options: object) -> bytes:
        process = subprocess.run(
            [*command, *options], capture_output=True, check=False,
            env=environment | {"PYTHONPATH": str(ROOT / "scripts")} | variables,
        )  # fmt: skip
        assert process.returncode == 1, process.stderr
        assert b"Traceback" not in process.stderr
        return process.stdout

    written, printed = (done("--output", output), output.read_text(encoding="utf-8")), done()
    assert written[0] == b""
    for text in (written[1], printed.decode("latin-1" if variables.get("PYTHONIOENCODING") == "latin-1" else "utf-8")):
        if form == "--json":
            found = {Path(f["file"]).name for f in json.loads(text)["files"] if "error" not in f}
        elif form == "--csv":
            found = {Path(row["file"]).name for row in csv.DictReader(io.StringIO(text, newline=""))}
        else:
            found = {Path(line.split("  (")[0]).name for line in text.splitlines() if "wav  (" in line}
        assert {"a.wav", "b.wav", "d.wav", "e.wav", "W\\xf6lfchen.wav"} <= found
        assert len(found) == 7
    if form:
        assert "Wölfchen 鳥.wav" in written[1]


def test_the_given_case_of_a_name_from_an_old_windows_zip(bundle: Path, tmp_path: Path) -> None:
    case = ROOT.parent / "shared" / "cases" / "f13_latin1.py"
    if not case.is_file():
        pytest.skip(f"the project's shared cases are not at {case.parent}")
    subprocess.run([sys.executable, case, tmp_path / "case"], check=True)
    assert run(bundle, tmp_path / "case", "--json", "--output", tmp_path / "out.json") == 0
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["files"]
    assert {Path(f["file"]).name for f in found} == {"W\\xf6lfchen.wav", "b.wav"}
    assert all(f["duration"] == 6 for f in found)


def test_in_the_stage_a_decoder_that_crashes_or_is_killed_costs_its_file(
    bundle: Path, songs: Path, tmp_path: Path, faulty: Callable[[Fault], None]
) -> None:
    """`snakemake predict`: the batch is finished, and names the files without results."""
    signals = {"a.wav": signal.SIGSEGV, "b.wav": signal.SIGKILL}
    faulty(lambda name: kill_with(signals[name]) if name in signals else None)
    names = sorted(path.name for path in songs.iterdir())
    (tmp_path / "manifest.csv").write_text("recording,sha256\n" + "".join(f"{n},1\n" for n in names) + "gone.wav,\n")
    outputs = {name: tmp_path / f"{name}.csv" for name in ("detections", "files", "skipped", "features")}
    options = [text for name, path in outputs.items() for text in (f"--{name}", str(path))]
    batch.main(["--bundle", str(bundle), "--root", str(songs), "--manifest", str(tmp_path / "manifest.csv"), *options])
    tables = {}
    for name, path in outputs.items():
        with path.open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [row["file"] for row in tables["detections"]] == ["d.wav", "e.wav"]
    assert [row["recording"] for row in tables["features"]] == ["d.wav", "e.wav"]
    assert [(row["file"], row["reason"].split(";")[0]) for row in tables["skipped"]] == [
        ("a.wav", "the decoder crashed on this file (SIGSEGV)"),
        ("b.wav", "its process was killed by SIGKILL twice, perhaps because memory ran out"),
        ("c.wav", "text, not audio"),
        ("gone.wav", "cannot be read"),
    ]


def test_a_reader_that_ends_early_is_no_error(bundle: Path, songs: Path) -> None:
    command = f'"{sys.executable}" -m autobird.cli predict "$1" "$2" --csv | true'
    done = subprocess.run(
        ["bash", "-c", command, "bash", bundle, songs], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_an_output_that_cannot_be_written_is_a_one_line_error(
    bundle: Path, songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    for output in (tmp_path, tmp_path / "file" / "d.csv"):
        assert run(bundle, songs / "a.wav", "--csv", "--output", output) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert "cannot be written" in err
        assert err.count("\n") == 1


def test_a_device_is_written_and_not_replaced(bundle: Path, songs: Path) -> None:
    before = Path("/dev/null").stat()
    assert run(bundle, songs / "a.wav", "--json", "--output", "/dev/null") == 0
    assert Path("/dev/null").stat().st_ino == before.st_ino


@pytest.mark.parametrize("option", [("--max-seconds", "0"), ("--time-limit", "-1"), ("--max-seconds", "nan")])
def test_limits_must_be_positive(bundle: Path, option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, bundle, *option) == 2
    assert f"{option[1]} is not above 0" in capsys.readouterr().err
