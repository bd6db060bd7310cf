"""Sources that are listed on a server."""
