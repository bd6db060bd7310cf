"""What the server says about itself: model card, recent predictions, drift, links; and API keys."""

import json
from typing import Any

import pytest

from tests.browser.browsing import choose, opened_page, recording, until, wait_until_done
from tests.unit.test_server import Server

pytestmark = pytest.mark.browser

_ENTRY = {
    "id": 7,
    "time": "2026-05-12T05:55:00Z",
    "role": "answer",
    "duration": 61.5,
    "species": "Parus major",
    "probability": 0.91234,
    "unknown_score": 0.5,
    "detection_count": 3,
}


def stub(page: Any, path: str, body: Any, status: int = 200) -> None:
    """Answer requests for a path with a document."""
    page.route(
        f"**/{path}", lambda route: route.fulfill(status=status, content_type="application/json", body=json.dumps(body))
    )


def opened(page: Any, name: str) -> str:
    """Open a dialog; return its text."""
    page.click(f"#show-{name}")
    until(page, "!document.querySelector('#dialog-body').textContent.startsWith('Loading')")
    return str(page.inner_text("#dialog-body"))


def test_a_server_without_log_says_so_in_words(page: Any) -> None:
    for name in ("predictions", "drift"):
        stub(page, f"v1/{name}*", {"detail": "no log", "status": 404}, 404)
        assert "--log FILE" in opened(page, name)
        page.click("#dialog-close")


def test_recent_predictions_are_shown_page_by_page(page: Any) -> None:
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url.partition("?")[2])
        rows = [_ENTRY | {"id": 8}] if len(asked) == 1 else [_ENTRY | {"species": None, "probability": None}]
        body = {"predictions": rows, "next": 8 if len(asked) == 1 else None}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(body))

    page.route("**/v1/predictions*", answer)
    text = opened(page, "predictions")
    assert "2026-05-12 05:55:00\t1:01.5\tParus major\t0.91\t0.50\t3" in text
    page.click("text=Older predictions")
    until(page, "document.querySelectorAll('#dialog-body tbody tr').length === 2")
    assert "all of it is quiet" in page.inner_text("#dialog-body")
    assert page.is_hidden("text=Older predictions")
    assert [query.split("&")[-1] for query in asked] == ["limit=25", "before=8"]


def test_the_drift_test_is_shown_with_its_sentence_first(page: Any) -> None:
    features = [
        {
            "feature": "mel_mean", "title": "mean of the mel values", "unit": "front-end units", "drift": True, "distance": 0.5,
            "p_value": 0.00123456, "median": -6.123, "reference_median": -5.0,
        },
        {"feature": "confidence", "title": "highest probability", "unit": "", "drift": False, "distance": 0, "p_value": 1, "median": 0.5,
         "reference_median": 0.5},
    ]  # fmt: skip
    stub(
        page,
        "v1/drift",
        {
            "state": "drift",
            "summary": "the last 40 recordings differ",
            "features": features,
            "recordings": 40,
            "needed": 20,
            "alarm_rate": 0.02,
            "bundle": "abc",
        },
    )
    text = opened(page, "drift")
    assert text.startswith("the last 40 recordings differ")
    assert "mean of the mel values (front-end units)\tyes\t-6.123\t-5\t0.5\t0.001235" in text
    assert "highest probability\tno" in text
    assert "mel_mean" not in text
    assert page.locator("#dialog-body dt").all_inner_texts() == [
        "recordings",
        "recordings needed",
        "false-alarm rate",
        "bundle",
    ]
    assert page.locator("#dialog-body dd").all_inner_texts()[2] == "2 %"


def test_the_model_card_is_shown_as_text_without_running_what_it_contains(page: Any) -> None:
    card = "# Model card: x\n\nOf **two** <b onclick='x()'>species</b>.\n\n## Scores\n\n| metric | value |\n|---|---|\n| F1 | 0.8 |\n\n- [paper](https://example.org/a)\n"
    stub(page, "v1/model", {"name": "x", "species": 2, "card": card})
    opened(page, "model")
    assert page.locator("#dialog-body h3").all_inner_texts()[0] == "Scores"
    assert page.inner_text("#dialog-body p") == "Of two <b onclick='x()'>species</b>."
    assert page.locator("#dialog-body td").all_inner_texts() == ["F1", "0.8"]
    link = page.locator("#dialog-body a")
    assert (link.get_attribute("href"), link.get_attribute("rel")) == ("https://example.org/a", "noreferrer")


def test_the_api_is_described_on_a_page_and_the_link_to_the_review_depends_on_the_server(server: Server) -> None:
    for paths, review in ((["/v1/review/queue"], True), (["/v1/predict"], False)):
        with opened_page(server.url) as page:
            stub(page, "openapi.json", {"paths": {path: {} for path in paths}})
            page.reload()
            until(page, f"document.querySelector('#review').hidden === {'false' if review else 'true'}")
            assert page.get_attribute("#docs", "href") == "docs"


def test_a_server_with_api_keys_asks_for_one(page: Any) -> None:
    def check(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer right":
            route.continue_()
        else:
            problem = {"title": "API key missing or wrong", "status": 401, "detail": "send a key"}
            route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(problem))

    page.route("**/v1/**", check)
    page.reload()
    page.wait_for_selector("#key-form", state="visible")
    for key in ("wrong", "right"):
        page.fill("#key", key)
        page.keyboard.press("Enter")
        if key == "wrong":
            until(page, "document.querySelector('#key-state').textContent === 'The server does not know this key.'")
    page.wait_for_selector("#key-form", state="hidden")
    choose(page, recording("a.wav", 5))
    wait_until_done(page)
    assert page.inner_text("#progress") == "1 of 1 recording done"
