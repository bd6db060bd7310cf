"""Long recordings on the page: they become jobs of the server, with progress, cancelling and their result after a reload."""

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.browser.axe import axe_source
from tests.browser.browsing import choose, recording, until, wait_until_done
from tests.browser.test_accessibility import violations
from tests.browser.test_queue import shown, statuses
from tests.unit.test_predict import make_bundle
from tests.unit.test_server import Server, start

pytestmark = pytest.mark.browser

_JOBS = 600
"""Time for jobs, seconds: their process has a low priority, and waits while the machine is busy."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that answers recordings of 20 s and 1 MB at once, and takes jobs."""
    folder = tmp_path_factory.mktemp("server")
    options = ("--workers", "1", "--max-seconds", "20", "--max-megabytes", "1", "--state", str(folder / "state"))
    running = start(make_bundle(folder / "bundle", (0.0, 1.0)), folder / "log.sqlite", *options)
    yield running
    running.process.terminate()
    running.process.wait(30)


def without_length(name: str) -> dict[str, Any]:
    """A recording of 30 s in a format whose header does not state its length."""
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(30 * 16000), 16000, format="MP3")
    return {"name": name, "mimeType": "audio/mpeg", "buffer": file.getvalue()}


def requests_of(page: Any) -> list[tuple[str, str]]:
    """Return a list that gets method and path of each request to the API that changes something."""
    found: list[tuple[str, str]] = []
    page.on(
        "request",
        lambda r: found.append((r.method, r.url.partition("/v1/")[2].partition("?")[0])) if r.method != "GET" else None,
    )
    return found


def test_long_recordings_are_jobs_and_survive_a_reload(page: Any, server: Server) -> None:
    requests = requests_of(page)
    assert page.inner_text("main > p").endswith("and are not stored, long ones only until they are classified.")
    assert page.inner_text("#limits") == "; above 1 MB or 20 seconds, up to 4096 MB, in the background"
    choose(
        page,
        recording("long.wav", 25),
        without_length("no length.mp3"),
        recording("large.wav", 40),
        recording("short.wav", 5),
    )
    wait_until_done(page, _JOBS)
    assert statuses(page) == dict.fromkeys(("long.wav", "no length.mp3", "large.wav", "short.wav"), "done")
    # Only the length of the MP3 is not known beforehand.
    assert sorted(requests) == [("POST", "jobs")] * 3 + [("POST", "predict")] * 2
    lengths = page.locator("#files td.length").all_inner_texts()
    assert [lengths[0], *lengths[2:]] == ["0:25.0", "0:40.0", "0:05.0"]
    page.click("#files button:text('long.wav')")
    assert page.locator("#species .row").count() >= 2
    page.wait_for_selector("#result[data-source=browser]")

    page.reload()
    wait_until_done(page)
    assert statuses(page) == dict.fromkeys(("long.wav", "no length.mp3", "large.wav"), "done")
    page.click("#files button:text('large.wav')")
    assert shown(page) == "large.wav"
    assert page.inner_text("#sound-note").startswith("No sound and no spectrogram: this page was loaded again")
    page.evaluate(axe_source())
    assert violations(page) == []
    for name in ("long.wav", "no length.mp3", "large.wav"):
        with page.expect_response(lambda r: r.request.method == "DELETE"):
            page.click(f"button[aria-label='Remove: {name}']")
    assert server.ask("/v1/jobs")[1] == {"jobs": []}
    assert page.evaluate("sessionStorage.getItem('autobird-jobs')") == "[]"


def test_a_job_shows_its_progress_and_is_cancelled_on_the_server(page: Any, server: Server) -> None:
    states = [
        {"state": "queued", "position": 2, "progress": 0},
        {"state": "running", "position": None, "progress": 0.429},
    ]
    page.route(
        "**/v1/jobs/*",
        lambda route: (
            route.fulfill(status=200, content_type="application/json", body=json.dumps(states[min(len(asked), 1)]))
            if route.request.method == "GET" and not asked.append(1)  # type: ignore[func-returns-value]
            else route.continue_()
        ),
    )
    asked: list[int] = []
    choose(page, recording("long.wav", 25))
    until(page, "document.querySelector('#files .status').textContent === 'classifying, 42 %'")
    assert page.evaluate("document.querySelector('#files progress').value") == pytest.approx(0.429)
    choose(page, recording("short.wav", 5))  # a job holds up no other file
    until(page, "document.querySelectorAll('#files .status')[1].textContent === 'done'")
    with page.expect_response(lambda r: r.request.method == "DELETE") as removed:
        page.click("button[aria-label='Cancel: long.wav']")
    assert removed.value.status == 204
    assert statuses(page) == {"long.wav": "cancelled", "short.wav": "done"}
    assert server.ask("/v1/jobs")[1] == {"jobs": []}


def test_a_job_that_fails_or_is_gone_says_why(page: Any) -> None:
    problem = {"status": 422, "title": "Not a usable recording", "detail": "the file is damaged"}
    failed = json.dumps({"state": "failed", "problem": problem})
    page.route(
        "**/v1/jobs/*",
        lambda route: (
            route.fulfill(status=200, content_type="application/json", body=failed)
            if route.request.method == "GET"
            else route.continue_()
        ),
    )
    choose(page, recording("long.wav", 25))
    wait_until_done(page)
    assert statuses(page) == {"long.wav": "failed\nthe file is damaged"}
    page.unroute("**/v1/jobs/*")
    page.evaluate("sessionStorage.setItem('autobird-jobs', JSON.stringify([{id: '0'.repeat(32), name: 'old.wav'}]))")
    page.reload()
    wait_until_done(page)
    assert statuses(page)["old.wav"].startswith("failed\nthere is no job '00000000")
    assert page.is_hidden("button[aria-label='Try again: old.wav']")


def test_the_species_of_windows_fit_into_the_answer_of_a_job(page: Any) -> None:
    found = page.evaluate(
        "async () => { const {speciesOfJob, lengthOfHeader} = await import('/static/jobs.js');"
        " return [speciesOfJob(3600, 10, 0), speciesOfJob(86400, 10, 0), speciesOfJob(0, 300, 30), speciesOfJob(0, 4, 0),"
        "  speciesOfJob(3600, 300, 30), await lengthOfHeader(new Blob(['fLaC']))]; }"
    )
    assert found == [0, 5, 5, 0, 30, 0]


@pytest.mark.parametrize(("form", "rate"), [("WAV", 16000), ("FLAC", 44100)])
def test_the_length_of_a_file_is_read_from_its_header(page: Any, form: str, rate: int) -> None:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal((3 * rate, 2)), rate, format=form)
    found = page.evaluate(
        "async (bytes) => (await import('/static/jobs.js')).lengthOfHeader(new Blob([new Uint8Array(bytes)]))",
        list(file.getvalue()),
    )
    assert found == pytest.approx(3, abs=0.01)
