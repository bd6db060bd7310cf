"""Label sets of windows of exactly one species, as arrays and as columns of an index."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobird.dataset.label_sets import ABSENT, LabelSets


def single_species(label: NDArray[np.int64], species: int) -> LabelSets:
    """Return the label sets of windows of one species each, given as an index; all is known."""
    present = np.eye(species, dtype=bool)[label]
    return LabelSets(present, np.ones_like(present))


def label_columns(species: Sequence[str]) -> dict[str, Any]:
    """Return the columns of label sets of windows of one species each, given by name; "": a negative window."""
    none = np.frompyfunc(lambda _: [], 1, 1)(np.arange(len(species)))
    return {
        "species": list(species), "present": [[name] if name else [] for name in species], "absent": none, "unknown": none, "default": ABSENT
    }  # fmt: skip
