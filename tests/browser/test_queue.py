"""Adding recordings: many files, problems, cancelling, and answers that arrive in another order."""

from typing import Any

import pytest

from autobird.audio.formats import readable_extensions
from tests.browser.browsing import choose, recording, until, wait_until_done

pytestmark = pytest.mark.browser


def statuses(page: Any) -> dict[str, str]:
    """Return the text of the status of each file by name."""
    rows = page.locator("#files tr").all()
    return {row.locator("th").inner_text(): row.locator("td.status").inner_text() for row in rows}


def shown(page: Any) -> str:
    """Return the name of the file whose result is shown, "" if there is none."""
    return page.inner_text("#title") if page.is_visible("#result") else ""


def fulfilled_with(status: int, kind: str, body: str, **headers: str) -> dict[str, Any]:
    """Return an answer for `route.fulfill`."""
    return {"status": status, "content_type": kind, "body": body, "headers": headers}


def test_many_files_are_classified_and_a_failing_one_loses_nothing(page: Any) -> None:
    text = {"name": "words.wav", "mimeType": "audio/wav", "buffer": b"not audio"}
    empty = {"name": "empty.wav", "mimeType": "audio/wav", "buffer": b""}
    sounds = [recording(f"noise {k}.wav", 5 + k, seed=k) for k in range(6)]
    choose(page, text, *sounds[:3], empty, *sounds[3:])
    wait_until_done(page)
    assert statuses(page) == {
        "words.wav": "failed\ntext, not audio",
        "empty.wav": "failed\nthe file is empty",
        **{f"noise {k}.wav": "done" for k in range(6)},
    }
    assert page.inner_text("#progress") == "6 of 8 recordings done, 2 failed"
    assert shown(page) in ("noise 0.wav", "noise 1.wav")  # two are classified at the same time
    lengths = page.locator("#files td.length").all_inner_texts()
    assert lengths == ["1 kB", "0:05.0", "0:06.0", "0:07.0", "1 kB", "0:08.0", "0:09.0", "0:10.0"]
    page.click("#files button:text('noise 4.wav')")
    assert shown(page) == "noise 4.wav"


def test_the_same_file_can_be_chosen_again(page: Any) -> None:
    for count in (1, 2):
        choose(page, recording("a.wav", 5))
        until(
            page,
            f"document.querySelector('#progress').textContent === '{count} of {count} recording{'s' * (count > 1)} done'",
        )


def test_dropped_files_are_all_used(page: Any) -> None:
    page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          for (const name of ["one.wav", "two.wav"]) transfer.items.add(new File(["not audio"], name));
          document.querySelector("main").dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
        }"""
    )
    wait_until_done(page)
    assert statuses(page) == {"one.wav": "failed\ntext, not audio", "two.wav": "failed\ntext, not audio"}


def test_a_dropped_folder_gives_its_recordings(page: Any) -> None:
    """The browser's tests cannot drop a real folder: an event with the same interface stands for it."""
    page.evaluate(
        """() => {
          const file = name => ({isFile: true, name, file: resolve => resolve(new File(["not audio"], name))});
          const folder = (name, ...inner) => ({isDirectory: true, name, createReader() {
            const parts = [inner, []];
            return {readEntries: resolve => resolve(parts.shift())};
          }});
          const dropped = folder("site", file("b.wav"), folder("night", file("a.WAV"), file("notes.txt")), file(".DS_Store"));
          const event = new Event("drop", {bubbles: true, cancelable: true});
          event.dataTransfer = {files: [new File([], "site")], items: [{webkitGetAsEntry: () => dropped}]};
          document.querySelector("main").dispatchEvent(event);
        }"""
    )
    wait_until_done(page)
    assert list(statuses(page)) == ["b.wav", "a.WAV"]


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(page: Any) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    choose(page, recording("large.wav", 40))
    wait_until_done(page)
    assert statuses(page)["large.wav"] == (
        "failed\n1.3 MB are more than the 1 MB that this server accepts; send a shorter or compressed recording, for example flac or mp3"
    )
    assert not [url for url in sent if "predict" in url]


def hold_first(page: Any) -> tuple[list[Any], list[Any]]:
    """Hold the first request for a prediction; return lists that get its route and its answer."""
    held: list[Any] = []
    answers: list[Any] = []

    def handle(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)
            answers.append(route.fetch())

    page.route("**/v1/predict*", handle)
    return held, answers


def test_each_answer_belongs_to_its_file_and_a_late_one_does_not_replace_a_newer_result(page: Any) -> None:
    held, answers = hold_first(page)
    with page.expect_request("**/v1/predict*"):
        choose(page, recording("long.wav", 20))
    choose(page, recording("short.wav", 5))
    until(page, "document.querySelector('#title').textContent === 'short.wav'")
    held[0].fulfill(response=answers[0])
    wait_until_done(page)
    assert shown(page) == "short.wav"
    assert page.locator("#files td.length").all_inner_texts() == ["0:20.0", "0:05.0"]


def test_a_cancelled_file_stays_cancelled_and_can_be_tried_again(page: Any) -> None:
    held, _ = hold_first(page)
    with page.expect_request("**/v1/predict*"):
        choose(page, recording("a.wav", 5), recording("b.wav", 5))
    with page.expect_event("requestfailed") as stopped:
        page.click("button[aria-label='Cancel: a.wav']")
    assert "v1/predict" in stopped.value.url
    wait_until_done(page)
    assert statuses(page) == {"a.wav": "cancelled", "b.wav": "done"}
    assert held
    page.click("button[aria-label='Try again: a.wav']")
    wait_until_done(page)
    assert statuses(page) == {"a.wav": "done", "b.wav": "done"}


def test_an_answer_that_arrives_although_the_file_was_cancelled_is_ignored(page: Any) -> None:
    page.evaluate("XMLHttpRequest.prototype.abort = function () {}")
    held, answers = hold_first(page)
    with page.expect_request("**/v1/predict*"):
        choose(page, recording("a.wav", 5))
    while not answers:  # Playwright receives the answer while the page is asked for something
        page.evaluate("new Promise(requestAnimationFrame)")
    page.click("#cancel-all")
    with page.expect_response("**/v1/predict*"):
        held[0].fulfill(response=answers[0])
    page.evaluate("new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve, 0)))")
    assert statuses(page) == {"a.wav": "cancelled"}
    assert not shown(page)


def test_a_busy_server_is_asked_again_after_the_time_that_it_names(page: Any) -> None:
    problem = '{"title": "Too many requests waiting", "status": 503, "detail": "try again"}'
    answers = [fulfilled_with(503, "application/problem+json", problem, **{"Retry-After": "1"})]
    page.route("**/v1/predict*", lambda route: route.fulfill(**answers.pop()) if answers else route.continue_())
    choose(page, recording("a.wav", 5))
    until(page, "document.querySelector('#files .status').textContent === 'the server is busy; next attempt in 1 s'")
    wait_until_done(page)
    assert statuses(page) == {"a.wav": "done"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            fulfilled_with(502, "text/html", "<html>Bad Gateway</html>"),
            "HTTP status 502 Bad Gateway; the answer is not from Autobird but perhaps from a proxy in front of it; try again later",
        ),
        (
            fulfilled_with(413, "text/html", "<html>too large</html>"),
            "HTTP status 413 Payload Too Large; the answer is not from Autobird but perhaps from a proxy in front of it; "
            "it does not accept a file of this size",
        ),
        (
            fulfilled_with(503, "application/json", '{"message": "down"}'),
            "HTTP status 503 Service Unavailable; the answer is not from Autobird but perhaps from a proxy in front of it; "
            "try again later",
        ),
        (
            fulfilled_with(200, "text/html", "<html>Please log in</html>"),
            "the answer is not a result of Autobird (HTTP status 200 OK); perhaps a proxy in front of it requires a login; "
            "load this page again",
        ),
        (
            fulfilled_with(200, "application/json", '{"windows": 3}'),
            "the answer is not a result of Autobird (HTTP status 200 OK); perhaps a proxy in front of it requires a login; "
            "load this page again",
        ),
        (fulfilled_with(422, "application/problem+json", '{"detail": "text, not audio"}'), "text, not audio"),
        (
            None,
            "the upload was interrupted; check the connection to the server and that the file still exists, and try again",
        ),
    ],
)
def test_answers_of_a_proxy_are_reported_in_words(page: Any, answer: dict[str, Any] | None, message: str) -> None:
    page.route("**/v1/predict*", lambda route: route.fulfill(**answer) if answer else route.abort())
    choose(page, recording("a.wav", 5))
    wait_until_done(page)
    found = statuses(page)["a.wav"]
    for other in ("Content Too Large", "Request Entity Too Large"):
        found = found.replace(other, "Payload Too Large")
    assert found == f"failed\n{message}"


def test_results_are_announced_to_screen_readers(page: Any) -> None:
    text = {"name": "words.wav", "mimeType": "audio/wav", "buffer": b"not audio"}
    choose(page, recording("a.wav", 5), text)
    wait_until_done(page)
    assert page.get_attribute("#announcements", "aria-live") == "polite"
    said = page.locator("#announcements p").all_text_contents()
    assert "words.wav failed: text, not audio" in said
    assert any(line.startswith("a.wav: ") and " detection" in line for line in said)


def test_a_recording_is_made_with_the_microphone(page: Any) -> None:
    page.click("#record")
    until(page, "document.querySelector('#record-state').textContent >= '0:01'")
    page.click("#record")
    wait_until_done(page)
    (name,) = statuses(page)
    assert name.startswith("recorded_")
    assert name.endswith(".wav")
    assert statuses(page)[name].startswith("done")


def test_the_page_offers_the_formats_and_limits_of_the_server(phone: Any) -> None:
    until(phone, "document.querySelector('#limits').textContent !== ''")
    formats = phone.inner_text("#drop small")
    assert formats == f"{', '.join(readable_extensions())}; at most 1 MB and 600 seconds each"
    accept = phone.get_attribute("#file", "accept").split(",")
    assert accept == ["audio/*", *(f".{name}" for name in readable_extensions())]
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing is wider than the screen


def test_the_page_works_without_the_server_once_it_is_loaded(page: Any) -> None:
    choose(page, recording("a.wav", 5))
    wait_until_done(page)
    page.context.set_offline(True)
    choose(page, recording("b.wav", 5))
    wait_until_done(page)
    assert statuses(page)["b.wav"].startswith("failed\nthe upload was interrupted")
    page.click("#zoom-in")
    page.fill("#threshold", "100")
    with page.expect_download() as download:
        page.click("#save-csv")
    assert download.value.suggested_filename == "a.csv"
    page.click("#show-model")
    until(page, "document.querySelector('#dialog-body').textContent.includes('cannot be reached')")
    page.keyboard.press("Escape")
    page.context.set_offline(False)
    page.click("button[aria-label='Try again: b.wav']")
    wait_until_done(page)
    assert statuses(page)["b.wav"] == "done"
