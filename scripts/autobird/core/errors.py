"""The exception for errors that users can correct; its message names the file, the value and the remedy in one line."""


class AutobirdError(Exception):
    """An error that the user can correct; shown without a traceback."""
