"""The prediction server: Flask app, web page, log of predictions, metrics."""
