"""The web page in Chromium: it shows the species of the recording that was chosen last, and understandable errors."""

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from autobird.audio.formats import readable_extensions
from tests.unit.test_predict import make_bundle
from tests.unit.test_server import Server, start

pytestmark = pytest.mark.browser

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    found = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if not found:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    return found


def test_a_recording_is_shown_with_its_species_and_a_text_file_gives_an_error(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = chromium()
    bundle = (
        Path(os.environ["AUTOBIRD_BUNDLE"])
        if "AUTOBIRD_BUNDLE" in os.environ
        else make_bundle(tmp_path / "bundle", (0.3, 0.3))
    )
    rate = 22050
    t = np.arange(12 * rate) / rate
    song = 0.3 * np.sin(2 * np.pi * (3000 + 800 * np.sin(12 * t)) * t) * (np.sin(2 * np.pi * 0.4 * t) > 0)
    soundfile.write(tmp_path / "song.wav", song + 0.01 * np.random.default_rng(0).standard_normal(len(t)), rate)
    recording = Path(os.environ.get("AUTOBIRD_RECORDING", tmp_path / "song.wav"))
    (tmp_path / "words.txt").write_text("not audio")
    server = start(bundle, tmp_path / "log.sqlite", "--workers", "1")
    try:
        with sync_api.sync_playwright() as p:
            browser = p.chromium.launch(executable_path=executable, args=_ARGUMENTS)
            page = browser.new_page(viewport={"width": 1100, "height": 1250})
            errors: list[str] = []
            page.on("pageerror", lambda e: errors.append(str(e)))
            page.goto(server.url)
            page.set_input_files("#file", str(recording))
            page.wait_for_selector("#result", state="visible", timeout=20_000)
            assert recording.name in page.inner_text("#title")
            assert page.evaluate("document.querySelector('#spectrogram').width") > 100
            assert page.locator("#species .row").count() >= 1
            bright_pixels = page.evaluate(
                "(() => { const c = document.querySelector('#spectrogram');"
                " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
                " let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] > 100; return n; })()"
            )
            assert bright_pixels > 100
            screenshot = Path(os.environ.get("AUTOBIRD_SCREENSHOT", tmp_path / "page.png"))
            page.screenshot(path=str(screenshot), full_page=True)
            page.set_input_files("#file", str(tmp_path / "words.txt"))
            page.wait_for_selector("#message.error", timeout=20_000)
            assert page.inner_text("#message") == "words.txt: text, not audio"
            assert not page.is_visible("#result")
            assert errors == []
            browser.close()
    finally:
        server.process.terminate()
        server.process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    running = start(make_bundle(folder / "bundle", (0.3, 0.3)), folder / "log.sqlite", "--workers", "1")
    yield running
    running.process.terminate()
    running.process.wait(30)


@pytest.fixture
def page(server: Server) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = chromium()
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        opened = browser.new_page(viewport={"width": 390, "height": 844})
        errors: list[str] = []
        opened.on("pageerror", lambda e: errors.append(str(e)))
        opened.goto(server.url)
        yield opened
        assert errors == []
        browser.close()


def recording(name: str, seconds: float) -> dict[str, Any]:
    """A file for the file chooser: noise of this length."""
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(int(seconds * 16000)), 16000, format="WAV")
    return {"name": name, "mimeType": "audio/wav", "buffer": file.getvalue()}


def choose(page: Any, file: dict[str, Any]) -> None:
    page.set_input_files("#file", files=[file])


@pytest.mark.parametrize("abort", [True, False])
def test_only_the_answer_to_the_last_chosen_file_is_shown(page: Any, abort: bool) -> None:
    """With `abort` False, the answer to the first file has been received before the browser can stop the request."""
    if not abort:
        page.evaluate("AbortController.prototype.abort = function () {}")
    held: list[Any] = []
    answers = []

    def hold_first(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)
            answers.append(route.fetch())

    page.route("**/v1/predict*", hold_first)
    with page.expect_request("**/v1/predict*"):
        choose(page, recording("long.wav", 20))
    page.wait_for_function("document.querySelector('#message').textContent.includes('long.wav')")
    if abort:
        with page.expect_event("requestfailed") as stopped:
            choose(page, recording("short.wav", 5))
        assert "v1/predict" in stopped.value.url
    else:
        choose(page, recording("short.wav", 5))
    page.wait_for_function("document.querySelector('#title').textContent.includes('short.wav')")
    if not abort:
        with page.expect_response("**/v1/predict*"):
            held[0].fulfill(response=answers[0])
    page.wait_for_function("document.querySelector('#message').textContent === ''")
    page.evaluate("new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve, 0)))")
    assert page.inner_text("#title").startswith("short.wav: ")
    assert page.inner_text("#message") == ""
    assert page.is_visible("#result")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            {"status": 502, "content_type": "text/html", "body": "<html>Bad Gateway</html>"},
            "a.wav: HTTP status 502 Bad Gateway; the answer is not from Autobird but perhaps from a proxy in front of it; try again later",
        ),
        (
            {"status": 413, "content_type": "text/html", "body": "<html>too large</html>"},
            "a.wav: HTTP status 413 Payload Too Large; the answer is not from Autobird but perhaps from a proxy in front of it; "
            "it does not accept a file of this size",
        ),
        (
            {"status": 503, "content_type": "application/json", "body": '{"message": "down"}'},
            "a.wav: HTTP status 503 Service Unavailable; the answer is not from Autobird but perhaps from a proxy in front of it; "
            "try again later",
        ),
        (
            {"status": 200, "content_type": "text/html", "body": "<html>Please log in</html>"},
            "a.wav: the answer is not a result of Autobird (HTTP status 200 OK); perhaps a proxy in front of it requires a login; "
            "load this page again",
        ),
        (
            {"status": 422, "content_type": "application/problem+json", "body": '{"detail": "text, not audio"}'},
            "a.wav: text, not audio",
        ),
        (
            None,
            "a.wav: the upload was interrupted; check the connection to the server and that the file still exists, and try again",
        ),
    ],
)
def test_answers_of_a_proxy_are_reported_in_words(page: Any, answer: dict[str, Any] | None, message: str) -> None:
    page.route("**/v1/predict*", lambda route: route.fulfill(**answer) if answer else route.abort())
    choose(page, recording("a.wav", 5))
    page.wait_for_selector("#message.error")
    found = page.inner_text("#message")
    assert (
        found.replace("Content Too Large", "Payload Too Large").replace("Request Entity Too Large", "Payload Too Large")
        == message
    )


def test_the_page_offers_the_formats_and_limits_of_the_server(page: Any) -> None:
    page.wait_for_function("document.querySelector('#limits').textContent !== ''")
    formats = page.inner_text("#drop small")
    assert formats == f"{', '.join(readable_extensions())}; at most 64 MB and 600 seconds"
    accept = page.get_attribute("#file", "accept").split(",")
    assert accept == ["audio/*", *(f".{name}" for name in readable_extensions())]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing is wider than the screen
