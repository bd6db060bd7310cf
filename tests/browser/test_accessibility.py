"""The page with the keyboard alone, and checked by axe-core in both colour schemes and widths."""

from typing import Any

import pytest

from tests.browser.axe import axe_source
from tests.browser.browsing import choose, opened_page, recording, until, wait_for_own_spectrogram, wait_until_done
from tests.unit.test_server import Server

pytestmark = pytest.mark.browser

_TEXT = {"name": "words.wav", "mimeType": "audio/wav", "buffer": b"not audio"}


def violations(page: Any) -> list[str]:
    """Return what axe-core complains about: its rule and the elements."""
    results = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{v['id']}: {[n['html'][:150] for n in v['nodes']]}" for v in results["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_axe_finds_no_violation(server: Server, scheme: str, width: int, height: int) -> None:
    source = axe_source()
    with opened_page(server.url, width, height, scheme) as page:
        page.evaluate(source)  # not as a script of the page: its CSP does not allow it
        assert violations(page) == []
        choose(page, recording("a.wav", 30), _TEXT, recording("b.wav", 5))
        wait_until_done(page)
        wait_for_own_spectrogram(page)
        page.click("#zoom-in")
        page.click("#result summary")
        page.uncheck("#row-Parus-major")
        page.click("#play")
        assert violations(page) == []
        for name in ("model", "predictions", "drift"):
            page.click(f"#show-{name}")
            until(page, "!document.querySelector('#dialog-body').textContent.startsWith('Loading')")
            assert violations(page) == []
            page.keyboard.press("Escape")


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until an element has the focus.

    Raises:
        AssertionError: the focus does not reach it, or the element that has it cannot be seen to have it.
    """
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            outline = (
                "(e => getComputedStyle(e.id === 'file' ? e.parentElement : e).outlineStyle)(document.activeElement)"
            )
            assert page.evaluate(outline) != "none"
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_everything_can_be_done_with_the_keyboard(page: Any) -> None:
    choosers: list[Any] = []
    # Early: the browser needs a while until it reports dialogs in place of opening them.
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.reload()
    tab_to(page, "#file")
    page.keyboard.press("Enter")
    while not choosers:
        page.evaluate("new Promise(requestAnimationFrame)")
    choosers[0].set_files([recording("a.wav", 30), recording("b.wav", 5)])
    wait_until_done(page)
    tab_to(page, "tr:nth-child(2) .open")
    page.keyboard.press("Enter")
    assert page.inner_text("#title") == "b.wav"
    assert page.evaluate("document.activeElement.id") == "title"
    page.keyboard.press("Shift+Tab")
    for _ in range(4):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.matches('tr:nth-child(1) .open')"):
            break
    page.keyboard.press("Enter")
    assert page.inner_text("#title") == "a.wav"
    wait_for_own_spectrogram(page)
    page.keyboard.press("Space")  # plays and pauses wherever no control has the focus
    until(page, "document.querySelector('#play').textContent.includes('Pause')")
    page.keyboard.press("Space")
    until(page, "document.querySelector('#play').textContent.includes('Play')")
    tab_to(page, "#plot")
    page.keyboard.press("Home")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('#plot').getAttribute('aria-valuetext') === '0:06.0 of 0:30.0'")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("#overview", state="visible")
    page.keyboard.press("0")
    page.wait_for_selector("#overview", state="hidden")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#play').textContent.includes('Pause')")
    page.keyboard.press("Space")
    until(page, "document.querySelector('#play').textContent.includes('Play')")
    tab_to(page, "#species input")
    page.keyboard.press("Space")
    assert page.inner_text("#excluded") == "1 species left out"
    page.keyboard.press("Space")
    tab_to(page, "#save-csv")
    with page.expect_download():
        page.keyboard.press("Enter")
    tab_to(page, "#threshold")
    page.keyboard.press("Home")
    assert page.inner_text("#threshold-value") == "× 0.25"
    tab_to(page, "#detections .repeat")
    page.keyboard.press("Enter")
    until(page, "!document.querySelector('#stop-loop').hidden")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#stop-loop').hidden")


def test_dialogs_return_the_focus(page: Any) -> None:
    tab_to(page, "#show-drift")
    page.keyboard.press("Enter")
    until(page, "!document.querySelector('#dialog-body').textContent.startsWith('Loading')")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "show-drift"
