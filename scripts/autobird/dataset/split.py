"""Assign groups of recordings to training, validation and test by a stable hash."""

import hashlib
import math

import pandas as pd

from autobird.dataset.settings import SplitSettings

SMALL_SPECIES = 20
"""Groups of a species below which they are assigned by rank, so that every split gets some of them. Assignment by the
hash alone would leave some of these species without test recordings."""


NO_SPECIES = ""
"""Stands for a species in the rows of recordings with negative windows."""


def hash_position(group: str, seed: int) -> float:
    """Return a number in [0, 1) that depends only on the group's key and the seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{group}".encode()).digest()[:7], "big") / 2**56


def assign_splits(recordings: pd.DataFrame, settings: SplitSettings) -> dict[str, str]:
    """Return the split of each group.

    1. If the metadata give the split of a recording, its whole group gets that split.
    2. The groups of a species with fewer than `SMALL_SPECIES` groups are assigned by the rank of their hash within
       the species, rarest species first.
       The groups in which no species is present, only negatives, are assigned as if they were those of one more species.
    3. All other groups are assigned by the value of their hash. Adding recordings moves none of these groups.

    Args:
        recordings: columns recording, species, group, split ("" if the metadata give none). A recording with several
            species has several rows; `NO_SPECIES` stands for its negative windows.
        settings: the shares, or the folds: fold k is tested, fold k + 1 is used for validation, the others for training.
    """
    positions = {group: hash_position(group, settings.seed) for group in recordings["group"].unique()}
    assigned = splits_in_metadata(recordings)
    ranked_groups = _ranked_groups_of_small_species(recordings, positions)
    for species in sorted(ranked_groups, key=lambda name: (len(ranked_groups[name]), name)):
        unassigned = [group for group in ranked_groups[species] if group not in assigned]
        splits_so_far = [assigned[group] for group in ranked_groups[species] if group in assigned]
        assigned |= zip(unassigned, _splits_by_rank(len(unassigned), splits_so_far, settings), strict=True)
    for group, position in positions.items():
        assigned.setdefault(group, split_at(position, settings))
    return assigned


def splits_in_metadata(recordings: pd.DataFrame) -> dict[str, str]:
    """Return the split of each group that the metadata give for one of its recordings, the first by name.

    Args:
        recordings: columns recording, group, split ("" if the metadata give none).
    """
    with_split = recordings[recordings["split"] != ""].sort_values("recording").drop_duplicates("group")
    return {str(group): str(split) for group, split in with_split.set_index("group")["split"].items()}


def _ranked_groups_of_small_species(recordings: pd.DataFrame, positions: dict[str, float]) -> dict[str, list[str]]:
    """Return the groups, sorted by hash, of each species with fewer than `SMALL_SPECIES` groups, and of the negatives."""
    species_groups = recordings[["species", "group"]].drop_duplicates()
    has_species = species_groups["species"] != NO_SPECIES
    only_negatives = ~species_groups["group"].isin(species_groups.loc[has_species, "group"])
    species_groups = species_groups[has_species | only_negatives]
    group_count = species_groups.groupby("species")["group"].transform("size")
    small = species_groups[group_count < SMALL_SPECIES]
    return {
        str(species): sorted(rows["group"], key=lambda group: (positions[group], group))
        for species, rows in small.groupby("species")
    }


def split_at(position: float, settings: SplitSettings) -> str:
    """Return the split of a hash position in [0, 1)."""
    if settings.fold is not None:
        return _split_of_fold(math.floor(position * settings.folds), settings.fold, settings.folds)
    if position < settings.test:
        return "test"
    return "validation" if position < settings.test + settings.validation else "train"


def _split_of_fold(fold: int, tested_fold: int, folds: int) -> str:
    if fold == tested_fold:
        return "test"
    return "validation" if fold == (tested_fold + 1) % folds else "train"


def _splits_by_rank(unassigned: int, splits_so_far: list[str], settings: SplitSettings) -> list[str]:
    """Return the splits of the `unassigned` groups of a species, in the order of their rank.

    A species with three or more groups gets at least one group in each split, counting the groups in
    `splits_so_far`, which are already assigned. If only a few groups are unassigned, those for testing are assigned before
    those for validation, which may then be missing. Of two groups, one is for training and one for testing; a single group
    is for training.
    """
    if settings.fold is not None:
        return [_split_of_fold(rank % settings.folds, settings.fold, settings.folds) for rank in range(unassigned)]
    count = unassigned + len(splits_so_far)
    # At most all groups except two: one is for training, one for validation.
    test = max(1, min(round(count * settings.test), count - 2)) - splits_so_far.count("test") if count >= 2 else 0
    validation = max(1, round(count * settings.validation)) - splits_so_far.count("validation") if count >= 3 else 0
    available = unassigned - (0 if "train" in splits_so_far else 1)
    test = min(max(0, test), max(0, available))
    validation = min(max(0, validation), max(0, available - test))
    return ["test"] * test + ["validation"] * validation + ["train"] * (unassigned - test - validation)
