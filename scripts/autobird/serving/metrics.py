"""Prometheus metrics of the server, shared by its processes."""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

PREDICTIONS = Counter("autobird_predictions_total", "Recordings answered, by the most probable species.", ["species"])
ERRORS = Counter("autobird_errors_total", "Requests refused or failed, by HTTP status.", ["status"])
LOG_ERRORS = Counter("autobird_log_errors_total", "Answers that could not be written to the log.")
AUDIO_SECONDS = Counter("autobird_audio_seconds_total", "Seconds of sound listened to.")
DURATION = Histogram("autobird_prediction_duration_seconds", "From the upload to the answer.", buckets=_BUCKETS)
ACTIVE = Gauge("autobird_active_requests", "Predictions under way.", multiprocess_mode="livesum")
LOADED = Gauge("autobird_model_loaded", "1 once the bundle is loaded.", ["bundle", "variant"], multiprocess_mode="max")


def text() -> bytes:
    """All metrics of all processes in Prometheus's text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget(pid: int) -> None:
    """Drop the live gauges of a process that ended."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        for file in Path(folder).glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)
