"""The web page in Chromium: it shows the spectrogram and the species of a recording."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.unit.test_predict import make_bundle
from tests.unit.test_server import start

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
