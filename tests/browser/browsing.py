"""Helpers of the browser's tests: Chromium, recordings, and what the page must never do."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a microphone that beeps
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
]


def chromium() -> str:
    """Return the path of Chromium; skip the test if there is none."""
    found = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if not found:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    return found


@contextmanager
def opened_page(
    url: str,
    width: int = 1280,
    height: int = 900,
    scheme: str = "light",
    path: str = "",
    ready: str = "document.querySelector('#formats').textContent !== ''",
    **options: Any,
) -> Iterator[Any]:
    """Open the page; afterwards, check that it made no request to other hosts, and had no error and no violation of its CSP.

    Args:
        url: address of the server.
        width: width of the screen, pixels; below 700, it is a phone with a touch screen.
        height: height of the screen, pixels.
        scheme: `light` or `dark`.
        path: of the page.
        ready: JavaScript expression that is true when the page can be used.
        options: further options of the browser's context.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = chromium()
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            has_touch=width < 700,
            device_scale_factor=2 if width < 700 else 1,
            **options,
        )
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith((url, "blob:", "data:")) else faults.append(r.url))
        page.on("console", lambda m: faults.append(m.text) if "Content Security Policy" in m.text else None)
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => console.error('Content Security Policy: ' + e.violatedDirective))"
        )
        page.goto(url + path)
        until(page, ready)
        yield page
        assert faults == []
        browser.close()


def until(page: Any, condition: str, seconds: float = 30) -> None:
    """Wait until a JavaScript expression is true; Playwright's own `wait_for_function` is stopped by the page's CSP.

    Raises:
        playwright.sync_api.Error: it is not true after this time.
    """
    page.evaluate(
        "new Promise((resolve, reject) => {"
        f" const check = () => ({condition}) ? resolve() : requestAnimationFrame(check); check();"
        f" setTimeout(() => reject(new Error('not true in time: ' + {condition!r})), {1000 * seconds}); }})"
    )


def recording(name: str, seconds: float, rate: int = 16000, seed: int = 0) -> dict[str, Any]:
    """Return a file for the file chooser: noise of this length."""
    file = io.BytesIO()
    noise = 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))
    soundfile.write(file, noise, rate, format="WAV")
    return {"name": name, "mimeType": "audio/wav", "buffer": file.getvalue()}


def choose(page: Any, *files: dict[str, Any] | str | Path) -> None:
    """Choose files in the file dialog; they are not mixed: either all have content, or all are paths."""
    page.set_input_files("#file", files=list(files))


def wait_until_done(page: Any, seconds: float = 30) -> None:
    """Wait until no file is waiting or being classified."""
    until(page, "document.querySelector('#cancel-all').hidden && document.querySelector('#files').rows.length", seconds)


def wait_for_own_spectrogram(page: Any) -> None:
    """Wait until the browser has decoded the file that is shown."""
    page.wait_for_selector("#result[data-source=browser]")
