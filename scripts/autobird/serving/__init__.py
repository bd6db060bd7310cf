"""The prediction server: Flask app, page, log of requests, metrics."""
