"""The server over HTTP: predictions, error responses with remedies, the log, metrics."""

import base64
import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from autobird.audio.mel_scale import band_centres
from autobird.audio.settings import MelSettings
from autobird.drift.features import DRIFT_FEATURES
from autobird.predict import Classifier
from autobird.serving.app import create_app
from autobird.serving.compute.pool import InlinePool
from autobird.serving.services import Services
from autobird.serving.settings import ServeSettings
from tests.unit.test_predict import difficult_recordings, make_bundle


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    bundle: Path
    log: Path
    process: subprocess.Popen[str]

    def ask(
        self, path: str, data: bytes | None = None, kind: str = "application/octet-stream", method: str | None = None
    ) -> tuple[int, Any, str]:
        """Send a request; return status, body (decoded if it is JSON) and content type."""
        headers = {"Content-Type": kind} if data is not None else {}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                status, body, content_type = response.status, response.read(), response.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            status, body, content_type = error.code, error.read(), error.headers["Content-Type"]
        return status, json.loads(body) if "json" in content_type else body, content_type


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def serve_command(bundle: Path, *options: str) -> list[str]:
    """Return the command that starts a server."""
    return [sys.executable, "-m", "autobird.cli", "serve", str(bundle), *options]


def start(bundle: Path, log: Path, *options: str) -> Server:
    """Start a server and wait until it responds."""
    port = free_port()
    command = serve_command(bundle, "--port", str(port), "--log", str(log), *options)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url + "/healthz", timeout=2).read()
            return Server(url, bundle, log, process)
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(process.stderr.read() if process.stderr else "") from None
            time.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    running = start(
        make_bundle(folder / "bundle", (0.0, 1.0)),
        folder / "log.sqlite",
        "--workers",
        "2",
        "--max-megabytes",
        "1",
        "--max-seconds",
        "20",
    )
    yield running
    running.process.terminate()
    running.process.wait(30)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("audio") / "a.flac"
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(7 * 16000), 16000)
    return file.read_bytes()


def multipart(field: str, data: bytes) -> tuple[bytes, str]:
    """A form with one file: body and content type."""
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="'
        + field.encode()
        + b'"; filename="a.flac"\r\n\r\n'
        + data
        + b"\r\n--xyz--\r\n"
    )
    return body, "multipart/form-data; boundary=xyz"


def test_a_raw_body_and_a_form_give_the_probabilities_of_the_classifier(
    server: Server, song: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.flac").write_bytes(song)
    classifier = Classifier(server.bundle)
    expected = classifier.predict(tmp_path / "a.flac")
    for data, kind in ((song, "application/octet-stream"), (song, "audio/flac"), multipart("file", song)):
        status, value, _ = server.ask("/v1/predict", data, kind)
        assert status == 200
        assert value["duration"] == pytest.approx(7.0)
        assert value["model"] == {"name": "tiny", "variant": "float", "fingerprint": "0123456789abcdef"}
        assert [w["start"] for w in value["windows"]] == [0, 2.5]
        assert value["windows"][1]["end"] == 7.0
        assert value["windows"][0]["species"][0]["probability"] == pytest.approx(
            expected.probabilities[0].max(), abs=1e-4
        )
        assert value["detections"][0]["species"] == "Parus major"
        assert "spectrogram" not in value


def test_the_spectrogram_is_included_on_request_and_shows_tones_at_their_times_and_frequencies(
    server: Server, tmp_path: Path
) -> None:
    """Three seconds of noise, with a tone of 1 kHz in the second one and of 4 kHz in the third one."""
    t = np.arange(3 * 16000) / 16000
    tones = 0.3 * np.sin(2 * np.pi * np.where(t < 2, 1000, 4000) * t) * (t >= 1)
    audio = tones + 0.001 * np.random.default_rng(0).standard_normal(len(t))
    soundfile.write(tmp_path / "a.flac", audio, 16000)
    _, value, _ = server.ask("/v1/predict?spectrogram=1", (tmp_path / "a.flac").read_bytes())
    s = value["spectrogram"]
    assert (s["bands"], s["columns"], s["fmin"], s["fmax"]) == (64, 3 * 16000 // 512 + 1, 20, 8000)
    cells = np.frombuffer(base64.b64decode(s["data"]), np.uint8).reshape(64, -1)
    middle = np.arange(94) * 512 / 16000 % 1
    for second, hertz in ((1, 1000), (2, 4000)):
        part = cells[:, (np.arange(94) * 512 // 16000 == second) & (middle > 0.1) & (middle < 0.9)]
        band = part.mean(axis=1).argmax()
        assert abs(band_centres(MelSettings())[band] - hertz) < 0.06 * hertz
        assert part[band].min() > 230
    assert cells[:, :30].max() < 150


def test_a_long_spectrogram_is_reduced_to_the_width_of_a_screen(server: Server, tmp_path: Path) -> None:
    """A minute has 1,876 frames. Each column is made of two of them."""
    soundfile.write(tmp_path / "a.flac", 0.1 * np.random.default_rng(0).standard_normal(60 * 8000), 8000)
    client = create_app(Services(InlinePool(server.bundle), ServeSettings())).test_client()
    s = client.post("/v1/predict?spectrogram=1", data=(tmp_path / "a.flac").read_bytes()).get_json()["spectrogram"]
    assert s["columns"] == 938
    assert len(base64.b64decode(s["data"])) == 64 * 938


@pytest.mark.parametrize(
    ("data", "kind", "status", "message"),
    [
        (b"", "application/octet-stream", 400, "send the recording as the body of the request"),
        (*multipart("file", b""), 400, "field `file`"),
        (b"just text", "audio/wav", 422, "text, not audio"),
        (bytes(range(256)) * 20, "audio/wav", 422, "not an audio file"),
        (b"x" * 1_200_000, "application/octet-stream", 413, "larger than 1 MB"),
    ],
)
def test_invalid_input_gives_problem_details_with_a_remedy(
    server: Server, data: bytes, kind: str, status: int, message: str
) -> None:
    found, value, content_type = server.ask("/v1/predict", data, kind)
    assert found == status
    assert content_type == "application/problem+json"
    assert value["status"] == status
    assert message in value["detail"]
    assert "Traceback" not in json.dumps(value)


def test_a_small_file_of_a_long_recording_is_rejected(server: Server, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.flac", np.zeros(16000 * 60) + 0.01, 16000)
    data = (tmp_path / "long.flac").read_bytes()
    assert len(data) < 200_000
    status, value, _ = server.ask("/v1/predict", data)
    assert status == 413
    assert value["detail"] == "longer than 20 s of decoded audio; cut the recording into parts"


def test_difficult_recordings_are_classified_or_rejected_with_a_reason(server: Server, tmp_path: Path) -> None:
    for name, (path, message) in difficult_recordings(tmp_path).items():
        data = path.read_bytes()
        status, value, _ = server.ask("/v1/predict", data)
        if len(data) > 1_000_000:
            assert status == 413
        elif not data:
            assert status == 400
        elif message:
            assert status == (413 if "of decoded audio" in message else 422), name
            assert message.split(";")[0].replace("7200", "20") in value["detail"]
        else:
            assert status == 200
        if name == "silent.wav":
            assert value["species"] == []
            assert value["detections"] == []


def test_unknown_paths_and_methods_refer_to_the_description_of_the_api(server: Server) -> None:
    for path, method, status in (("/v2", "GET", 404), ("/v1/predict", "GET", 405)):
        found, value, content_type = server.ask(path, method=method)
        assert (found, content_type) == (status, "application/problem+json")
        assert "/docs" in value["detail"]


def test_the_model_and_its_species_are_described(server: Server) -> None:
    _, model, _ = server.ask("/v1/model")
    assert (model["name"], model["species"]) == ("tiny", 2)
    assert (model["limits"]["megabytes"], model["limits"]["seconds"]) == (1.0, 20.0)
    _, species, _ = server.ask("/v1/species")
    assert [(s["species"], s["threshold"]) for s in species] == [("Parus major", 0.0), ("Corvus corone", 1.0)]
    assert server.ask("/healthz")[1]["status"] == "ok"


def test_the_page_loads_nothing_from_other_servers(server: Server) -> None:
    status, page, kind = server.ask("/")
    assert status == 200
    assert "text/html" in kind
    assert b"http://" not in page
    assert b"https://" not in page


def metric_sum(server: Server, name: str) -> float:
    """Return the sum of a metric of the server over its labels."""
    lines = server.ask("/metrics")[1].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def test_predictions_are_logged_and_counted(server: Server, song: bytes) -> None:
    names = ("autobird_predictions_total", "autobird_audio_seconds_total", "autobird_prediction_duration_seconds_count")
    metrics = [metric_sum(server, name) for name in names]
    errors = metric_sum(server, "autobird_errors_total")
    before = sqlite3.connect(server.log).execute("SELECT count(*) FROM predictions").fetchone()[0]
    for _ in range(4):
        assert server.ask("/v1/predict", song)[0] == 200
    server.ask("/v1/predict", b"text")
    rows = (
        sqlite3.connect(server.log)
        .execute(f"SELECT bundle, duration, species, {', '.join(DRIFT_FEATURES)} FROM predictions")
        .fetchall()
    )
    assert len(rows) == before + 4
    classifier = Classifier(server.bundle)
    prediction = classifier.predict(io.BytesIO(song))
    best = classifier.labels[prediction.recording.argmax()]
    for row in rows[-4:]:
        assert row[:3] == ("0123456789abcdef", 7.0, best)
        assert dict(zip(DRIFT_FEATURES, row[3:], strict=True)) == pytest.approx(
            classifier.drift_features(prediction), rel=1e-5
        )
    assert [metric_sum(server, name) for name in names] == [metrics[0] + 4, metrics[1] + 4 * 7, metrics[2] + 4]
    assert metric_sum(server, "autobird_errors_total") == errors + 1
    text = server.ask("/metrics")[1].decode()
    assert 'autobird_model_loaded{bundle="tiny",variant="float"} 1.0' in text
    assert 'autobird_errors_total{status="422"}' in text


def test_predictions_continue_if_the_log_cannot_be_written(tmp_path: Path, song: bytes) -> None:
    server = start(make_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite", "--workers", "1")
    try:
        connection = sqlite3.connect(server.log)
        connection.execute("ALTER TABLE predictions DROP COLUMN duration")
        connection.commit()
        assert server.ask("/v1/predict", song)[0] == 200
        assert "autobird_log_waiting 1.0" in server.ask("/metrics")[1].decode()
    finally:
        server.process.terminate()
        server.process.wait(30)


def test_the_server_removes_its_temporary_files_when_it_ends(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    port = free_port()
    bundle = make_bundle(tmp_path / "bundle")
    process = subprocess.Popen(
        [sys.executable, "-m", "autobird.cli", "serve", str(bundle), "--port", str(port), "--workers", "1"],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).read()
            break
        except OSError:
            time.sleep(0.05)
    assert list((tmp_path / "tmp").iterdir())  # the copy of the bundle that the compute processes load
    process.terminate()
    process.wait(30)
    assert not list((tmp_path / "tmp").iterdir())
