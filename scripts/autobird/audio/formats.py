"""The audio formats that can be decoded, by the usual extensions of their files."""

from importlib.util import find_spec

_LIBSNDFILE = ("wav", "flac", "mp3", "ogg", "oga", "opus", "aiff", "aif", "caf", "w64", "au")
"""Extensions of the formats that the libsndfile in soundfile's wheels decodes, the most usual ones first."""

_PYAV = ("m4a", "mp4", "aac", "webm", "3gp", "mov", "mka", "mkv", "wma", "amr")
"""Extensions of the formats that PyAV decodes, the extra `media` (docs/formats.md)."""


def readable_extensions() -> tuple[str, ...]:
    """Return the extensions, without a dot, of the files that can be decoded in this installation.

    This list is for people and file dialogs. The format of a file is recognised by its content, whatever its name.
    """
    return _LIBSNDFILE + (_PYAV if find_spec("av") else ())
