"""`autobird serve`: options that cannot be used are reported in one line, and the URL is printed at the start."""

import os
import signal
import socket
import sqlite3
import subprocess
import urllib.request
from pathlib import Path

import pytest

from autobird.cli import main
from autobird.core.errors import AutobirdError
from autobird.predict.overlay_path import overlay_path
from autobird.serving import options as options_module
from autobird.serving.address import bind, listen, url
from autobird.serving.options import serve_settings
from autobird.serving.server import _buffered_bytes, _max_bytes
from autobird.serving.settings import MAX_WORKERS, ServeSettings
from tests.unit.test_predict import make_bundle
from tests.unit.test_server import serve_command


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def serve(bundle: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `autobird serve` with options that it refuses."""
    command = serve_command(bundle, *options)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("workers", "0", "a whole number from 1 to 64"),
        ("workers", "65", "a whole number from 1 to 64"),
        ("workers", "two", "a whole number from 1 to 64"),
        ("workers", "1.5", "a whole number from 1 to 64"),
        ("port", "99999", "a whole number from 0 to 65535"),
        ("port", "-1", "a whole number from 0 to 65535"),
        ("port", "http", "a whole number from 0 to 65535"),
        ("max_megabytes", "0", "a number above 0 to 4096"),
        ("max_megabytes", "nan", "a number above 0 to 4096"),
        ("max_megabytes", "inf", "a number above 0 to 4096"),
        ("max_seconds", "-5", "a number above 0"),
        ("max_seconds", "inf", "a number above 0"),
        ("max_seconds", "10 min", "a number above 0"),
        ("host", "", "a text of at least 1 character"),
        ("log", "", "a text of at least 1 character"),
        ("queue", "0", "a whole number from 1 to 10000"),
        ("time_limit", "0", "a number above 0 to 86400"),
        ("header_seconds", "0", "a number above 0 to 3600"),
        ("max_values", "5", "a whole number from 1000000 to 1000000000000"),
        ("max_files", "65", "a whole number from 1 to 64"),
        ("keep_days", "-1", "a number above 0 to 36500"),
        ("keys", "", "a text of at least 1 character"),
    ],
)
def test_an_invalid_value_is_reported_with_the_option_and_the_allowed_values(
    option: str, value: str, allowed: str
) -> None:
    with pytest.raises(AutobirdError) as error:
        serve_settings({option: value})
    assert str(error.value) == f"--{option.replace('_', '-')} {value or repr('')} is not possible; give {allowed}"


def test_options_of_the_command_line_are_numbers_of_the_settings() -> None:
    settings = serve_settings(
        {"port": "80", "workers": "2", "max_megabytes": "1e2", "max_seconds": None, "bundle": "b"}
    )
    assert (settings.port, settings.workers, settings.max_megabytes, settings.max_seconds) == (80, 2, 100.0, 600.0)


@pytest.mark.parametrize(
    ("option", "value", "example"),
    [
        ("allow_host", "http://birds.example.org", "birds.example.org"),
        ("allow_host", "", "birds.example.org"),
        ("allow_origin", "birds.example.org", "https://example.org"),
        ("allow_origin", "https://example.org/page", "https://example.org"),
        ("allow_origin", "null", "https://example.org"),
    ],
)
def test_names_of_hosts_and_pages_have_the_right_form(option: str, value: str, example: str) -> None:
    with pytest.raises(AutobirdError) as error:
        serve_settings({option: ["*", value]})
    assert str(error.value).startswith(f"--{option.replace('_', '-')} {value or repr('')} is not possible; give ")
    assert f"for example {example}, or * for all" in str(error.value)


def test_host_names_and_origins_are_repeatable() -> None:
    settings = serve_settings(
        {
            "allow_host": ["birds.example.org", "[fd00::5]"],
            "allow_origin": ["https://example.org:8443", "http://[::1]:80"],
        }
    )
    assert settings.allow_host == ("birds.example.org", "[fd00::5]")
    assert settings.allow_origin == ("https://example.org:8443", "http://[::1]:80")


def test_a_new_key_is_printed_without_a_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    main(["serve", "--new-key", "ann"])
    out = capsys.readouterr().out
    assert out.startswith("key, which is stored nowhere: autobird_")
    assert "ann sha256:" in out
    with pytest.raises(SystemExit):
        main(["serve"])
    assert "autobird serve needs the folder of a bundle" in capsys.readouterr().err


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (4, 4), (64, 64), (65, MAX_WORKERS), (512, MAX_WORKERS)])
def test_the_default_number_of_workers_is_allowed_on_any_machine(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr(options_module, "available_cores", lambda: cores)
    assert serve_settings({}).workers == workers


def test_refused_options_give_one_line_and_exit_code_2(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("not a database " * 100)
    with sqlite3.connect(tmp_path / "photos.sqlite") as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        for options, message in (
            (["--workers", "0"], "--workers 0 is not possible; give a whole number from 1 to 64"),
            (["--port", "99999"], "--port 99999 is not possible; give a whole number from 0 to 65535"),
            (["--port", "-1"], "--port -1 is not possible; give"),
            (["--max-megabytes", "0"], "--max-megabytes 0 is not possible; give a number above 0"),
            (["--log", str(tmp_path / "folder")], "is a folder; give the path of a new file"),
            (["--log", str(tmp_path / "text")], "cannot be used (file is not a database); give the path of a new file"),
            (["--log", str(tmp_path / "text/log")], "; give the path of a new file"),
            (["--log", str(tmp_path / "photos.sqlite")], "is a database of another program; give the path"),
            (["--port", port], f"cannot listen on 127.0.0.1 port {port} (Address already in use): another program"),
            (["--host", "192.0.2.1"], "(Cannot assign requested address): this machine does not have this address"),
            (["--host", "not a host"], "--host not a host is not an address of this machine"),
            (["--host", "a" * 70 + ".b"], "is not an address of this machine"),
        ):
            if "--port" not in options:
                options = [*options, "--port", "0"]
            done = serve(bundle, *options)
            assert done.returncode == 2, options
            assert done.stderr.startswith("error: "), options
            assert done.stderr.count("\n") == 1, options
            assert message in done.stderr
            assert done.stdout == ""


def test_a_log_on_a_full_disk_is_reported_in_one_line(bundle: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")

    def no_space() -> None:
        # Python ignores SIGXFSZ, so that writing beyond the limit fails.
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    command = serve_command(bundle, "--port", "0", "--log", str(tmp_path / "l.sqlite"))
    # Coverage would write a file of its own at the end, beyond the limit too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, preexec_fn=no_space, check=False, env=environment
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "l.sqlite cannot be used (disk I/O error); give the path of a new file" in done.stderr
    assert "on a disk with free space" in done.stderr


def test_the_url_is_printed_once_the_server_listens(bundle: Path, tmp_path: Path) -> None:
    command = serve_command(bundle, "--port", "0", "--workers", "1", "--log", str(tmp_path / "new/log"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line.startswith(f"{bundle} is served at http://127.0.0.1:")
        assert line.endswith(" by 1 worker process; press Ctrl+C to stop\n")
        address = next(word for word in line.split() if word.startswith("http"))
        assert b"ok" in urllib.request.urlopen(address + "/healthz", timeout=30).read()
    finally:
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert (out, errors) == ("", "")
    assert (tmp_path / "new/log").is_file()


def test_thresholds_of_another_bundle_are_refused_in_one_line(bundle: Path) -> None:
    table = overlay_path(bundle)
    table.write_text("bundle,species,threshold\nffff,x,0.5\n")
    try:
        done = serve(bundle, "--port", "0")
    finally:
        table.unlink()
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {table}, line 2: these thresholds were chosen for the bundle ffff")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_urls_are_for_a_browser_on_this_machine() -> None:
    for host, expected in (
        ("127.0.0.1", "http://127.0.0.1:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
        ("::", "http://[::1]:"),
    ):
        try:
            opened = bind(host, 0)
        except AutobirdError:
            assert ":" in host  # no IPv6 address is configured
            continue
        listen(opened)
        assert url(opened).startswith(expected)
        with pytest.raises(AutobirdError, match="another program uses this port; stop it, or give another --port"):
            bind(host, opened.getsockname()[1])
        opened.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="this user may use all ports")
def test_a_port_for_administrators_is_reported() -> None:
    with pytest.raises(AutobirdError, match="give a --port above 1023"):
        bind("127.0.0.1", 1)


def test_uploads_may_be_as_large_as_the_options_say() -> None:
    jobs = ServeSettings(state="state", max_job_megabytes=10_000)
    assert _max_bytes("/v1/jobs/", jobs) == 10_000_000_000
    assert _buffered_bytes(jobs) >= 2 * _max_bytes("/v1/jobs", jobs)
    assert _max_bytes("/v1/predict", jobs) == 64_000_000
    assert _max_bytes("/v1/jobs", ServeSettings()) == 64_000_000  # it takes no jobs
