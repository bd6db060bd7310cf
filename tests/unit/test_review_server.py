"""A server with a review over HTTP: the commands that start it, and a kill between decisions."""

import urllib.request
from pathlib import Path

from tests.review_server import ReviewServer


def test_a_kill_between_decisions_loses_none_and_another_server_goes_on(tmp_path: Path) -> None:
    first = ReviewServer(tmp_path)
    items = first.ask("/v1/review/queue?reviewer=Ann&limit=4")["items"]
    for item in items[:3]:
        first.ask(f"/v1/review/items/{item['id']}/decision", {"reviewer": "Ann", "decision": "no"})
    first.process.kill()
    lines = first.process.communicate(timeout=30)[0].splitlines()
    assert [line for line in lines if "http:" in line] == [f"the review is at {first.url}/review; press Ctrl+C to stop"]
    assert len(first.rows("Ann")) == 3

    second = ReviewServer(tmp_path, is_serve=True)
    try:
        assert second.ask("/v1/review/queue?reviewer=Ann&count=12")["items"][0]["id"] == items[3]["id"]
        with urllib.request.urlopen(second.url + "/review", timeout=30) as page:
            assert "default-src 'self'" in page.headers["Content-Security-Policy"]
            assert b"static/review.js" in page.read()
    finally:
        lines = second.stop()
    assert [line.partition(" at ")[2].split()[0] for line in lines if "http:" in line] == [
        second.url,
        f"{second.url}/review",
    ]
