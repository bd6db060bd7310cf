"""Sizes of files as text."""

_LEAST_MB = 100_000
"""Bytes from which on a size is given in MB: with one decimal, smaller ones would all be 0.1 or 0.0 MB."""


def size_text(size: float) -> str:
    """Return a size as text: `1.2 MB`, and below 0.1 MB `60.0 kB`.

    Args:
        size: bytes.
    """
    return f"{size / 1e6:.1f} MB" if size >= _LEAST_MB else f"{size / 1e3:.1f} kB"
