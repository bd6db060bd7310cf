"""Select the windows of an index by the species that are present in them."""

from collections.abc import Collection, Sequence

import pandas as pd

from autobird.dataset.label_sets import ABSENT


def has_species(index: pd.DataFrame) -> "pd.Series[bool]":
    """Return in which windows at least one species is present; `index`: column present."""
    return index["present"].map(len) > 0


def holds_any(index: pd.DataFrame, species: Collection[str]) -> "pd.Series[bool]":
    """Return in which windows at least one of some species is present; `index`: column present."""
    names = frozenset(species)
    return index["present"].map(lambda present: not names.isdisjoint(present)).astype(bool)


def holds_only(index: pd.DataFrame, species: Collection[str]) -> "pd.Series[bool]":
    """Return in which windows at least one species is present, and none but the given ones; `index`: column present."""
    return has_species(index) & index["present"].map(frozenset(species).issuperset).astype(bool)


def holds_one(index: pd.DataFrame) -> "pd.Series[bool]":
    """Return in which windows exactly one species is present, and only species that are listed as uncertain may be present besides.

    Softmax outputs are trained on these windows. An uncertain species, for example one that xeno-canto lists in the background, does not
    exclude a window: the labelled species is still the one that an answer with a single species should name.

    Args:
        index: columns present, default.
    """
    return (index["present"].map(len) == 1) & (index["default"] == ABSENT)


def species_rows(windows: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Return a row for each window and each label that is present in it, with that label as `species`.

    Args:
        windows: rows of the index; column present.
        labels: species that can be trained.
    """
    rows = windows.drop(columns="species", errors="ignore").explode("present").rename(columns={"present": "species"})
    return rows[rows["species"].isin(labels)]
