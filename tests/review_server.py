"""A running server with a small review."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from autobird.sources.review_table import Review, read_reviews
from tests.review_folder import make_review
from tests.unit.test_server import free_port


class ReviewServer:
    """`autobird review` of few recordings, or `autobird serve --review`.

    Args:
        folder: gets the bundle, the recordings and the decisions; those that are there are used.
        is_serve: whether the command is `autobird serve`.
    """

    def __init__(self, folder: Path, is_serve: bool = False) -> None:
        if not (folder / "bundle").is_dir():
            make_review(folder)
        self.table = folder / "review" / "reviews.csv"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        bundle, recordings, review = (str(folder / name) for name in ("bundle", "recordings", "review"))
        arguments = (
            ["serve", bundle, "--review", recordings, "--review-output", review, "--workers", "1"]
            if is_serve
            else ["review", bundle, "--recordings", recordings, "--output", review, "--count", "12"]
        )
        command = [sys.executable, "-m", "autobird.cli", *arguments, "--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.url + "/healthz", timeout=2).read()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise AssertionError(self.process.stderr.read() if self.process.stderr else "") from None
                time.sleep(0.05)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON answer to a request; a body is sent with POST."""
        data, headers = (
            (None, {}) if body is None else (json.dumps(body).encode(), {"Content-Type": "application/json"})
        )
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=60) as response:
            return json.load(response)

    def rows(self, reviewer: str) -> list[Review]:
        """Return the rows of a reviewer in the table."""
        return [r for r in read_reviews(self.table) if r.reviewer == reviewer] if self.table.exists() else []

    def stop(self) -> list[str]:
        """End the server; return the lines that it printed."""
        self.process.terminate()
        return self.process.communicate(timeout=30)[0].splitlines()
