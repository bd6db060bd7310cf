"""Simulated users for Locust, who send recordings, look at the log and read the model card.

With a server on port 8000:

    locust -f tests/load/locustfile.py --headless --users 1000 --spawn-rate 50 --run-time 3m --host http://127.0.0.1:8000

A refusal (status 503 with `Retry-After`, when too many requests wait) is counted as a success named `refused`: the user waits as long as
the header says. Any other status, and an answer without a body of the API, is a failure.
"""

import io
import time

import gevent
import numpy as np
import soundfile
from locust import FastHttpUser, between, task


def _recording(seconds: float, form: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(round(seconds * 22_050)), 22_050, format=form)
    return file.getvalue()


RECORDINGS = [_recording(5, "WAV"), _recording(5, "FLAC"), _recording(10, "MP3")]


class Ecologist(FastHttpUser):
    """Sends a recording every few seconds."""

    wait_time = between(5, 15)
    network_timeout = connection_timeout = 60.0

    @task(20)
    def classify(self) -> None:
        """Send a recording; once more after a refusal."""
        data = RECORDINGS[int(time.time() * 1000) % len(RECORDINGS)]
        with self.client.post("/v1/predict", data=data, catch_response=True, name="/v1/predict") as response:
            if response.status_code == 503 and response.headers.get("Retry-After"):
                response.request_meta["name"] = "/v1/predict refused"
                response.success()
                gevent.sleep(float(response.headers["Retry-After"]))
            elif response.status_code != 200 or not response.json().get("species"):
                response.failure(f"status {response.status_code}")

    @task(2)
    def look_at_the_log(self) -> None:
        """Read the newest predictions."""
        self.client.get("/v1/predictions?limit=20")

    @task(1)
    def look_at_the_model(self) -> None:
        """Read the page and the model card."""
        self.client.get("/")
        self.client.get("/v1/model")
