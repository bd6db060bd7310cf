"""Names of splits in metadata."""

SPLITS = ("train", "validation", "test")

_SYNONYMS = {name: name for name in SPLITS} | {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "testing": "test",
}  # fmt: skip
"""Other names with a single meaning. `dev` is none of them: it is the validation set in some data sets, and training and
validation together in others (DCASE)."""


def split_name(text: str) -> str | None:
    """Return the split that a text names, in upper or lower case; "" for an empty text, None for an unknown name."""
    text = text.strip().lower()
    return _SYNONYMS.get(text) if text else ""
