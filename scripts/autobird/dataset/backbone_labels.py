"""Match the species of a run with the species that a backbone knows."""

from collections.abc import Sequence

from autobird.sources.labels import label_key


def match_labels(labels: Sequence[str], backbone_labels: Sequence[str]) -> dict[int, int]:
    """Return the position of each species of a run among the labels of a backbone, for those that it has.

    A species matches by its scientific or by its common name; case, spaces, hyphens and underscores do not count (`label_key`).

    Args:
        labels: species of the run.
        backbone_labels: `Scientific name_Common name`, or one name.
    """
    position: dict[str, int] = {}
    names = [text.partition("_") for text in backbone_labels]
    for part in (0, 2):  # scientific names first
        for i, name in enumerate(names):
            if name[part]:
                position.setdefault(label_key(name[part]), i)
    return {n: position[label_key(label)] for n, label in enumerate(labels) if label_key(label) in position}
