"""The review screen: a review by keys and by touch, undo, other species, filters, problems, accessibility; pictures of it.

`AUTOBIRD_SCREENSHOTS` names a folder for pictures; `AUTOBIRD_REVIEW_URL` uses a server that is running for them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.axe import axe_source
from tests.browser.browsing import opened_page, until
from tests.browser.test_accessibility import tab_to, violations
from tests.review_server import ReviewServer

pytestmark = pytest.mark.browser

_READY = "!document.querySelector('#name-form').hidden || !document.querySelector('#work').hidden"


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewServer]:
    server = ReviewServer(tmp_path_factory.mktemp("review"))
    yield server
    server.stop()


def begin(page: Any, name: str) -> None:
    """Give the name of the reviewer."""
    page.fill("#name", name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#item[data-ready]")


def press(page: Any, key: str) -> None:
    """Press the key of a decision, and wait for the next item."""
    number = page.evaluate("document.querySelector('#item').dataset.ready")
    page.keyboard.press(key)
    until(
        page, f"(e => e.hidden || (e.dataset.ready && e.dataset.ready !== '{number}'))(document.querySelector('#item'))"
    )


def test_items_are_reviewed_by_keys(reviews: ReviewServer) -> None:
    with opened_page(reviews.url, path="/review", ready=_READY) as page:
        begin(page, "Keys")
        assert page.inner_text("#question").startswith("Is ")
        for key in "ynus":
            press(page, key)
        assert [r.decision for r in reviews.rows("Keys")] == ["yes", "no", "unsure", "skip"]
        assert page.inner_text("#progress").startswith("4 of 12 decided (1 yes, 1 no, 1 unsure, 1 skipped)")
        species = page.inner_text("#question")
        press(page, "z")
        assert reviews.rows("Keys")[-1].decision == "undo"
        press(page, "y")
        assert page.inner_text("#question") == species
        assert [r.decision for r in reviews.rows("Keys")] == ["yes", "no", "unsure", "skip", "undo", "yes"]
        page.keyboard.press("Space")
        until(page, "document.querySelector('#play').textContent.includes('Pause')")
        page.keyboard.press("Space")
        until(page, "document.querySelector('#play').textContent.includes('Play')")
        page.keyboard.press("l")
        until(page, "document.querySelector('#play').textContent.includes('Pause')")
        assert page.get_attribute("#repeat", "aria-pressed") == "true"
        page.keyboard.press("l")
        page.reload()  # the name and the decisions are kept
        page.wait_for_selector("#item[data-ready]")
        assert page.inner_text("#question") == species
        press(page, "ArrowRight")
        press(page, "ArrowLeft")
        assert page.inner_text("#question") == species
        for _ in range(8):
            press(page, "n")
        assert page.is_visible("#done")
        assert page.inner_text("#done-title") == "All items of this queue are decided"
        page.keyboard.press("z")
        page.wait_for_selector("#item[data-ready]")


def test_another_species_is_chosen_by_typing(reviews: ReviewServer) -> None:
    with opened_page(reviews.url, path="/review", ready=_READY) as page:
        begin(page, "Other")
        own = page.inner_text("#question i")
        page.keyboard.press("o")
        page.wait_for_selector("#chooser[open]")
        other = "Corvus corone" if "Parus" in own else "Parus major"
        page.keyboard.type(other[:6].lower())
        until(page, f"document.querySelector('#chooser-list li[aria-selected=true]')?.textContent.includes('{other}')")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#progress').textContent.startsWith('1 of')")
        page.wait_for_selector("#item[data-ready]")
        page.keyboard.press("o")
        page.keyboard.type("Cuckoo clock")
        page.keyboard.press("Enter")  # before the list has followed
        until(page, "document.querySelector('#progress').textContent.startsWith('2 of')")
        assert [r.other_species for r in reviews.rows("Other")] == [other, "Cuckoo clock"]
        page.keyboard.press("o")
        page.wait_for_selector("#chooser[open]")
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "question"
        assert len(reviews.rows("Other")) == 2


def test_the_queue_can_be_filtered(reviews: ReviewServer) -> None:
    with opened_page(reviews.url, path="/review", ready=_READY) as page:
        begin(page, "Filter")
        page.click("#queue-details summary")
        page.select_option("#site", "hill")
        page.select_option("#queue", "uncertain")
        page.fill("#hour-from", "3")
        page.fill("#hour-to", "6")
        page.click("#queue-form button")
        until(page, "document.querySelector('#facts').textContent.includes('hill/20260501')")
        assert "hill, 3 to 6 o'clock" in page.inner_text("#queue-title")
        page.click("#queue-details summary")
        page.fill("#hour-from", "12")
        page.fill("#hour-to", "13")
        page.click("#queue-form button")
        page.wait_for_selector("#done", state="visible")
        assert page.inner_text("#done-title") == "No candidate passes this filter"


def test_a_decision_that_is_not_stored_keeps_the_item(reviews: ReviewServer) -> None:
    with opened_page(reviews.url, path="/review", ready=_READY) as page:
        begin(page, "Broken")
        page.route("**/decision*", lambda route: route.abort())
        number = page.get_attribute("#item", "data-ready")
        page.keyboard.press("y")
        page.wait_for_selector("#problem", state="visible")
        assert "cannot be reached" in page.inner_text("#problem")
        assert page.get_attribute("#item", "data-ready") == number
        page.unroute("**/decision*")
        press(page, "y")
        assert page.is_hidden("#problem")
        assert [r.decision for r in reviews.rows("Broken")] == ["yes"]


def test_on_a_phone_the_buttons_do_it_and_nothing_is_too_wide(reviews: ReviewServer) -> None:
    with opened_page(reviews.url, 390, 844, path="/review", ready=_READY) as page:
        begin(page, "Phone")
        page.tap("[data-decision=no]")
        until(page, "document.querySelector('#progress').textContent.startsWith('1 of')")
        page.wait_for_selector("#item[data-ready]")
        in_view = "(e => { const b = e.getBoundingClientRect(); return b.top >= 0 && b.bottom <= innerHeight; })"
        for selector in ("#plot", "#play", "[data-decision=yes]", "[data-decision=skip]"):
            assert page.evaluate(f"{in_view}(document.querySelector('{selector}'))"), selector
        page.tap("#show-results")
        until(page, "document.querySelector('#counts').textContent !== ''")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_address_can_have_the_name_of_the_reviewer(reviews: ReviewServer) -> None:
    with opened_page(reviews.url, path="/review?reviewer=Zo%C3%AB", ready=_READY) as page:
        page.wait_for_selector("#item[data-ready]")
        assert page.inner_text("#who") == "Zoë"
        page.click("#change-name")
        page.fill("#name", "Ann B")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#who').textContent === 'Ann B'")
        page.reload()
        page.wait_for_selector("#item[data-ready]")
        assert page.inner_text("#who") == "Ann B"


def test_letters_can_be_turned_off(reviews: ReviewServer) -> None:
    with opened_page(reviews.url, path="/review", ready=_READY) as page:
        begin(page, "Letters")
        page.click("#sound-options summary")
        page.uncheck("#letters")
        page.keyboard.press("y")
        tab_to(page, "[data-decision=no]")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#progress').textContent.startsWith('1 of')")
        assert [r.decision for r in reviews.rows("Letters")] == ["no"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_axe_finds_no_violation(reviews: ReviewServer, scheme: str, width: int, height: int) -> None:
    source = axe_source()
    # Without transitions, in whose middle colours have less contrast.
    with opened_page(reviews.url, width, height, scheme, "/review", _READY, reduced_motion="reduce") as page:
        page.evaluate(source)
        assert violations(page) == []
        begin(page, f"Axe {scheme} {width}")
        press(page, "y")
        press(page, "n")
        page.click("#queue-details summary")
        page.click("#sound-options summary")
        page.click("#show-results")
        until(page, "document.querySelector('#chosen tbody tr')")
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.focus("#question")
        page.keyboard.press("ArrowLeft")
        until(page, "document.querySelector('[data-decision][aria-pressed=true]')")
        assert violations(page) == []
        for key in "o?":
            page.keyboard.press(key)
            page.wait_for_selector("dialog[open]")
            assert violations(page) == []
            page.keyboard.press("Escape")
        page.click("#apply")
        assert violations(page) == []


@pytest.mark.parametrize("screen", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures(reviews: ReviewServer, screen: str, scheme: str) -> None:
    if not (folder := os.environ.get("AUTOBIRD_SCREENSHOTS", "")):
        pytest.skip("AUTOBIRD_SCREENSHOTS does not name a folder")
    url, (width, height) = (
        os.environ.get("AUTOBIRD_REVIEW_URL", reviews.url),
        (1280, 900) if screen == "desktop" else (390, 844),
    )
    Path(folder).mkdir(parents=True, exist_ok=True)

    def save(page: Any, name: str) -> None:
        page.evaluate("new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve, 500)))")
        page.screenshot(path=f"{folder}/review-{name}-{screen}-{scheme}.png", full_page=name == "results")

    with opened_page(url, width, height, scheme, "/review", _READY) as page:
        begin(page, f"Pictures {screen} {scheme}")
        save(page, "item")
        for key in "ynyynyuyny":
            press(page, key)
        page.keyboard.press("o")
        save(page, "other")
        page.keyboard.press("Escape")
        page.click("#show-results")
        until(page, "document.querySelector('#chosen tbody tr')")
        save(page, "results")
