"""The HTTP front: connections, requests and their deadlines, by waitress with some methods replaced."""
