"""Prometheus metrics of the server, combined over its worker processes."""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

PREDICTIONS = Counter("autobird_predictions_total", "Classified recordings, by most probable species.", ["species"])
ERRORS = Counter("autobird_errors_total", "Error responses, by HTTP status.", ["status"])
LOG_ERRORS = Counter("autobird_log_errors_total", "Predictions that could not be written to the log.")
AUDIO_SECONDS = Counter("autobird_audio_seconds_total", "Seconds of classified audio.")
DURATION = Histogram(
    "autobird_prediction_duration_seconds", "Seconds from the request to the response.", buckets=_BUCKETS
)
ACTIVE = Gauge("autobird_active_requests", "Requests in progress.", multiprocess_mode="livesum")
LOADED = Gauge("autobird_model_loaded", "1 if the bundle is loaded.", ["bundle", "variant"], multiprocess_mode="max")


def metrics_text() -> bytes:
    """Return the metrics of all worker processes in Prometheus's text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def remove_worker(pid: int) -> None:
    """Remove the gauges of a worker process that ended, which would otherwise be counted forever."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        for file in Path(folder).glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)
