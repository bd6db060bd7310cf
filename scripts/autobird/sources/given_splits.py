"""The splits that metadata give recordings: other spellings are accepted, unknown names are refused."""

from collections import Counter

from autobird.core.errors import AutobirdError
from autobird.sources.base import RecordingMetadata
from autobird.sources.splits import SPLITS, split_name

_MAX_LISTED = 5
"""Maximum number of unknown names that the error lists."""


class GivenSplits:
    """Counts the names of splits in the metadata of a source.

    Attributes:
        count: number of recordings with a given split.
    """

    def __init__(self) -> None:
        self.count = 0
        self._renamed: Counter[tuple[str, str]] = Counter()
        self._unknown: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def normalise(self, metadata: RecordingMetadata) -> RecordingMetadata:
        """Return metadata with the split's name as `SPLITS` has it; an unknown name is kept, and `check` refuses it."""
        self.count += 1
        name = split_name(metadata.split)
        if name is None:
            self._unknown[metadata.split] += 1
            self._examples.setdefault(metadata.split, metadata.recording)
            return metadata
        if name != metadata.split:
            self._renamed[metadata.split, name] += 1
        return metadata._replace(split=name)

    def notes(self) -> list[str]:
        """Return which other names were understood."""
        if not self._renamed:
            return []
        texts = ", ".join(f"{given!r} as {name} ({n})" for (given, name), n in sorted(self._renamed.items()))
        return [f"splits of {self._renamed.total()} recordings have other names in the metadata, and are read: {texts}"]

    def check(self) -> None:
        """Refuse unknown names.

        Raises:
            AutobirdError: the metadata give a recording a split with an unknown name.
        """
        if not self._unknown:
            return
        texts = [
            f"{name!r} ({n}, for example {self._examples[name]})" for name, n in self._unknown.most_common(_MAX_LISTED)
        ]
        more = f" and {len(self._unknown) - _MAX_LISTED} more" if len(self._unknown) > _MAX_LISTED else ""
        raise AutobirdError(
            f"the metadata give {self._unknown.total()} recordings an unknown split: {', '.join(texts)}{more}; "
            f"use {', '.join(SPLITS)}, or an empty cell for an assigned split"
        )
