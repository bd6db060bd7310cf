"""Wording of messages that depends on numbers."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 file`, `2 files`.

    Args:
        count: the number.
        noun: in the singular, with what depends on it: `recording does not contain it`.
        plural: the same in the plural; "": the noun with an s.
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
