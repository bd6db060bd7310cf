"""Pictures of the page for people to look at: `AUTOBIRD_SCREENSHOTS=folder pytest -m browser tests/browser/test_screenshots.py`.

`AUTOBIRD_BUNDLE` (a bundle) and `AUTOBIRD_RECORDINGS` (a folder with recordings) give them real content; `AUTOBIRD_URL` uses a server that is
running.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.browser.browsing import choose, opened_page, recording, until, wait_for_own_spectrogram, wait_until_done
from tests.unit.test_predict import make_bundle
from tests.unit.test_server import start

pytestmark = pytest.mark.browser

_FOLDER = os.environ.get("AUTOBIRD_SCREENSHOTS", "")

_SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server."""
    if not _FOLDER:
        pytest.skip("AUTOBIRD_SCREENSHOTS does not name a folder")
    if address := os.environ.get("AUTOBIRD_URL"):
        yield address
        return
    folder = tmp_path_factory.mktemp("server")
    bundle = Path(os.environ["AUTOBIRD_BUNDLE"]) if "AUTOBIRD_BUNDLE" in os.environ else make_bundle(folder / "bundle")
    running = start(bundle, folder / "log.sqlite", "--workers", "2")
    yield running.url
    running.process.terminate()
    running.process.wait(30)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Recordings, the longest one first."""
    if "AUTOBIRD_RECORDINGS" not in os.environ:
        folder = tmp_path_factory.mktemp("recordings")
        for k, seconds in enumerate((60, 20, 12, 8)):
            content = recording("", seconds, seed=k)["buffer"]
            (folder / f"noise {k}.wav").write_bytes(content)
        return sorted(folder.iterdir())
    found = [
        p for p in sorted(Path(os.environ["AUTOBIRD_RECORDINGS"]).rglob("*.*")) if p.suffix in (".mp3", ".wav", ".flac")
    ]
    return sorted(found[::11], key=lambda p: -soundfile.info(str(p)).duration)


def _save(page: Any, name: str) -> None:
    folder = Path(_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    page.evaluate("new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve, 300)))")
    page.screenshot(path=str(folder / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("screen", _SCREENS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_a_result(url: str, files: list[Path], screen: str, scheme: str) -> None:
    width, height = _SCREENS[screen]
    with opened_page(url, width, height, scheme) as page:
        _save(page, f"start-{screen}-{scheme}")
        choose(page, files[len(files) // 2], files[-1])
        wait_until_done(page)
        wait_for_own_spectrogram(page)
        _save(page, f"result-{screen}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("screen", _SCREENS)
def test_pictures_of_many_files_with_errors(url: str, files: list[Path], tmp_path: Path, screen: str) -> None:
    (tmp_path / "field notes.wav").write_text("These are words, not sound.\n" * 20)
    (tmp_path / "empty.wav").write_bytes(b"")
    with opened_page(url, *_SCREENS[screen]) as page:
        choose(page, *files[2:10], tmp_path / "field notes.wav", tmp_path / "empty.wav")
        page.wait_for_selector("#result", state="visible")
        _save(page, f"queue-{screen}")
        wait_until_done(page)
        _save(page, f"many-{screen}")


@pytest.mark.parametrize("screen", _SCREENS)
def test_pictures_of_a_long_recording_zoomed(url: str, files: list[Path], screen: str) -> None:
    with opened_page(url, *_SCREENS[screen], scheme="dark") as page:
        choose(page, files[0])
        wait_until_done(page)
        wait_for_own_spectrogram(page)
        _save(page, f"long-{screen}")
        for _ in range(4):
            page.click("#zoom-in")
        page.locator("#species .plain").first.click()
        page.evaluate("new Promise(resolve => setTimeout(resolve, 600))")
        page.keyboard.press("Tab")
        page.click("#play")
        _save(page, f"zoomed-{screen}")
        page.select_option("#colours", "light")
        page.click("#zoom-in")
        page.click("#zoom-in")
        _save(page, f"light-map-{screen}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_the_dialogs(url: str, scheme: str) -> None:
    with opened_page(url, 1280, 900, scheme) as page:
        for name in ("model", "predictions", "drift"):
            page.click(f"#show-{name}")
            until(page, "!document.querySelector('#dialog-body').textContent.startsWith('Loading')")
            _save(page, f"{name}-{scheme}")
            page.keyboard.press("Escape")
