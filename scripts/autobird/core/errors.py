"""The one exception that is meant for people: it names the file, the value and the remedy in one line."""


class AutobirdError(Exception):
    """A problem that the user can mend. Shown without a traceback."""
