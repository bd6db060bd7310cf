"""Wording of messages that depends on numbers."""


def counted(count: float, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 file`, `2 files`, `1,200 files`.

    Args:
        count: the number.
        noun: in the singular.
        plural: if it is not the noun with an s: `species`, `windows that are quiet`.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
