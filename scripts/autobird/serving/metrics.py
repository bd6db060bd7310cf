"""Prometheus metrics of the server."""

from prometheus_client import Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

PREDICTIONS = Counter("autobird_predictions_total", "Classified recordings, by most probable species.", ["species"])
ERRORS = Counter("autobird_errors_total", "Error responses, by HTTP status.", ["status"])
LOG_ERRORS = Counter("autobird_log_errors_total", "Predictions that could not be written to the log.")
AUDIO_SECONDS = Counter("autobird_audio_seconds_total", "Seconds of classified audio.")
DURATION = Histogram(
    "autobird_prediction_duration_seconds", "Seconds from the request to the response.", buckets=_BUCKETS
)
ACTIVE = Gauge("autobird_active_requests", "Requests in progress.")
LOADED = Gauge("autobird_model_loaded", "1 if the bundle is loaded.", ["bundle", "variant"])


def metrics_text() -> bytes:
    """Return the metrics in Prometheus's text format."""
    return generate_latest()
