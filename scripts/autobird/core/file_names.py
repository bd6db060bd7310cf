"""Names of files that every system accepts."""

import re

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]+')
"""Characters that Windows does not allow in names, and control characters."""

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
"""Names of devices, which Windows does not allow for files."""

_MAX_LENGTH = 120
"""Longest name, characters: file systems allow 255 bytes, and a character can have 4."""


def safe_name(text: str) -> str:
    """Return a text as the name of a file or folder: forbidden characters become `_`, and long texts are cut at their end."""
    name = _FORBIDDEN.sub("_", text).strip(" .")
    while len(name.encode()) > 200 or len(name) > _MAX_LENGTH:
        name = name[:-1].rstrip(" .")
    return f"_{name}" if not name or _RESERVED.fullmatch(name) else name
