"""What a backbone already knows of the species of a run: its own last layer, from which a head starts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.base import Backbone
from autobird.sources.labels import label_key


@dataclass(frozen=True)
class Prior:
    """Part of the logits of a head that is not trained: a linear function of the embeddings.

    Attributes:
        weight: shape (species, width); zero for species that the backbone does not know.
        bias: shape (species,).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def none(cls, species: int, width: int) -> "Prior":
        """Return a prior that knows nothing."""
        return cls(np.zeros((species, width), np.float32), np.zeros(species, np.float32))

    @classmethod
    def of(cls, backbone: Backbone, labels: Sequence[str], strength: float) -> "Prior":
        """Return the backbone's own logits of the species that it knows, times `strength`.

        The logits of a backbone are a linear function of its embeddings (`Backbone.logits`), so that those of the unit vectors
        and of the zero vector tell its weights.

        Args:
            backbone: the backbone; without labels the prior knows nothing.
            labels: species of the run.
            strength: factor.
        """
        width = backbone.info.width
        prior = cls.none(len(labels), width)
        columns = match_labels(labels, backbone.labels) if strength else {}
        if columns:
            rows, known = list(columns), list(columns.values())
            bias = backbone.logits(np.zeros((1, width), np.float32))[0, known]
            prior.weight[rows] = strength * (backbone.logits(np.eye(width, dtype=np.float32))[:, known] - bias).T
            prior.bias[rows] = strength * bias
        return prior

    def subset(self, species: NDArray[np.integer]) -> "Prior":
        """Return the prior of some species, by their indices, in this order."""
        return Prior(self.weight[species], self.bias[species])

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which species the backbone knows; shape (species,)."""
        return np.asarray(self.weight.any(axis=1))

    def logits(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return this part of the logits for embeddings of shape (windows, width); shape (windows, species)."""
        return np.asarray(embeddings.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias)


def match_labels(labels: Sequence[str], backbone_labels: Sequence[str]) -> dict[int, int]:
    """Return the position of each species of a run among the labels of a backbone, for those that it has.

    A species matches by its scientific or by its common name; case, spaces and underscores do not count (`label_key`).

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
