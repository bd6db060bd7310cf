"""Errors of reading audio files."""

from autobird.core.errors import AutobirdError


class UnusableAudio(AutobirdError):
    """A file that cannot be used; the message is the reason, as it is written to `quarantine.csv`."""


class TooLong(UnusableAudio):
    """More decoded audio than the caller allows; the caller adds the remedy to the message."""


class DecodeError(Exception):
    """Decoding stopped inside a file; the audio before is usable. The message is the decoder's."""
