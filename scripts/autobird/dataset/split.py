"""Train, validation and test: groups of recordings dealt by a stable hash."""

import hashlib
import math

import pandas as pd

from autobird.dataset.settings import SplitSettings

SPLITS = ("train", "validation", "test")

SMALL = 20
"""A species with fewer groups is dealt by rank, so that every split has some of it; a plain hash leaves species untested."""


def position(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group's key and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{group}".encode()).digest()[:7], "big") / 2**56


def deal(table: pd.DataFrame, settings: SplitSettings) -> dict[str, str]:
    """The split of each group.

    A group goes where the hash of its key falls, so that adding recordings moves no other. Groups of a species
    that has fewer than `SMALL` are dealt by the rank of their hash within the species instead; the rarest species
    deals first. Where people decided the split of a recording, its whole group goes there.

    Args:
        table: columns recording, species, group, split ("" if undecided); a recording of several species has
            several rows.
        settings: shares, or folds: fold k is tested, the next one validates, the others train.
    """
    positions = {g: position(g, settings.seed) for g in table["group"].unique()}
    decided = table[table["split"] != ""].sort_values("recording").drop_duplicates("group").set_index("group")["split"]
    where: dict[str, str] = {str(g): str(s) for g, s in decided.items()}
    held = table[["species", "group"]].drop_duplicates()
    small = held[held.groupby("species")["group"].transform("size") < SMALL]
    members = {
        species: sorted(part["group"], key=lambda g: (positions[g], g)) for species, part in small.groupby("species")
    }
    for species in sorted(members, key=lambda s: (len(members[s]), s)):
        free = [g for g in members[species] if g not in where]
        placed = [where[g] for g in members[species] if g in where]
        where |= zip(free, _by_rank(len(free), placed, settings), strict=True)
    for group, at in positions.items():
        where.setdefault(group, by_position(at, settings))
    return where


def by_position(at: float, settings: SplitSettings) -> str:
    """The split in which a position falls."""
    if settings.fold is not None:
        return _of_fold(math.floor(at * settings.folds), settings)
    if at < settings.test:
        return "test"
    return "validation" if at < settings.test + settings.validation else "train"


def _of_fold(fold: int, settings: SplitSettings) -> str:
    if fold == settings.fold:
        return "test"
    return "validation" if fold == (settings.fold + 1) % settings.folds else "train"  # type: ignore[operator]


def _by_rank(free: int, placed: list[str], settings: SplitSettings) -> list[str]:
    """Splits of the `free` ranked groups of a species whose other groups are in `placed` already.

    At least one of each split from three groups on, whichever placed them; one group trains, two train and test.
    """
    if settings.fold is not None:
        return [_of_fold(rank % settings.folds, settings) for rank in range(free)]
    count = free + len(placed)
    test = max(1, round(count * settings.test)) - placed.count("test") if count >= 2 else 0
    validation = max(1, round(count * settings.validation)) - placed.count("validation") if count >= 3 else 0
    spare = free - (0 if "train" in placed else 1)
    test = min(max(0, test), max(0, spare))
    validation = min(max(0, validation), max(0, spare - test))
    return ["test"] * test + ["validation"] * validation + ["train"] * (free - test - validation)
