"""The names of species that a reviewer can choose when another species is heard."""

from typing import Any

from autobird.predict.species_names import birdnet_names
from autobird.serving.bundle_info import common_names
from autobird.sources.labels import label_key

_MAX_SUGGESTIONS = 20


class SpeciesChoice:
    """Names of the species that reviewers can choose: those of the bundle, and those that BirdNET lists if it is installed.

    Args:
        labels: species of the bundle.

    Attributes:
        common: common name by label, as far as it is known.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        pairs = birdnet_names()
        self.common = common_names(labels, pairs)
        known = {label_key(label) for label in labels} | {label_key(name) for name in self.common.values()}
        self._entries = [(label, self.common.get(label, ""), True) for label in labels]
        self._entries += [
            (scientific, common[0] if common else "", False)
            for scientific, *common in pairs
            if label_key(scientific) not in known and not any(label_key(name) in known for name in common[:1])
        ]
        self._keys = [(label_key(name), label_key(common)) for name, common, _ in self._entries]
        self._label_of = {
            key: label for label in labels for key in (label_key(label), label_key(self.common.get(label, ""))) if key
        }

    def label_of(self, text: str) -> str:
        """Return the label of a species of the bundle, whichever of its names is given; other names are returned as they are."""
        return self._label_of.get(label_key(text), text)

    def search(self, text: str) -> list[dict[str, Any]]:
        """Return species whose names contain a text: those of the bundle first, then those that begin with it."""
        key = label_key(text)
        found = []
        for (name, common, is_own), keys in zip(self._entries, self._keys, strict=True):
            if any(key in k for k in keys):
                begins = any(k.startswith(key) for k in keys)
                found.append(((not is_own, not begins, common or name), name, common, is_own))
        return [
            {"species": name, "common_name": common or None, "is_own": is_own}
            for _, name, common, is_own in sorted(found)[:_MAX_SUGGESTIONS]
        ]
