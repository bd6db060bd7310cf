"""Train, validation and test: groups of recordings dealt by a stable hash."""

import hashlib
import math

import pandas as pd

from autobird.corpus.settings import SplitSettings

SPLITS = ("train", "validation", "test")

SMALL = 20
"""A species with fewer groups is dealt by rank, so that every split has some of it; a plain hash leaves species untested."""


def group_keys(recordings: "pd.Series[str]", grouping: pd.DataFrame) -> "pd.Series[str]":
    """The group of each recording: its recordist, day and place if all are known, else itself.

    Args:
        recordings: ids.
        grouping: columns recording, recordist, date, place.

    Returns:
        group keys, indexed by recording.
    """
    known = grouping.set_index("recording").reindex(recordings).fillna("")
    session = known["recordist"] + "\n" + known["date"] + "\n" + known["place"]
    complete = (known[["recordist", "date", "place"]] != "").all(axis=1)
    return session.where(complete, pd.Series(known.index, known.index))


def position(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group's key and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{group}".encode()).digest()[:7], "big") / 2**56


def deal(table: pd.DataFrame, settings: SplitSettings) -> "pd.Series[str]":
    """The split of each recording.

    A group goes where the hash of its key falls, so that adding recordings moves no other. Groups of a species
    that has fewer than `SMALL` are dealt by the rank of their hash within the species instead; the rarest species
    deals first. Where people decided the split of a recording, its whole group goes there.

    Args:
        table: columns recording, species, group, split ("" if undecided).
        settings: shares, or folds: fold k is tested, the next one validates, the others train.

    Returns:
        split names, indexed by recording.
    """
    positions = {g: position(g, settings.seed) for g in table["group"].unique()}
    decided = table[table["split"] != ""].sort_values("recording").drop_duplicates("group").set_index("group")["split"]
    where: dict[str, str] = {str(g): str(s) for g, s in decided.items()}
    members = {
        species: sorted(set(part["group"]), key=lambda g: (positions[g], g))
        for species, part in table.groupby("species")
    }
    for species in sorted(members, key=lambda s: (len(members[s]), s)):
        groups = members[species]
        if len(groups) >= SMALL:
            continue
        free = [g for g in groups if g not in where]
        where |= zip(free, _by_rank(len(free), settings), strict=True)
    for group, at in positions.items():
        where.setdefault(group, _by_position(at, settings))
    return table.set_index("recording")["group"].map(where)


def _by_position(at: float, settings: SplitSettings) -> str:
    if settings.fold is not None:
        return _of_fold(math.floor(at * settings.folds), settings)
    if at < settings.test:
        return "test"
    return "validation" if at < settings.test + settings.validation else "train"


def _of_fold(fold: int, settings: SplitSettings) -> str:
    if fold == settings.fold:
        return "test"
    return "validation" if fold == (settings.fold + 1) % settings.folds else "train"  # type: ignore[operator]


def _by_rank(count: int, settings: SplitSettings) -> list[str]:
    """Splits of `count` ranked groups: at least one of each from three groups on; one group trains, two train and test."""
    if settings.fold is not None:
        return [_of_fold(rank % settings.folds, settings) for rank in range(count)]
    test = max(1, round(count * settings.test)) if count >= 2 and settings.test else 0
    validation = max(1, round(count * settings.validation)) if count >= 3 and settings.validation else 0
    return ["test"] * test + ["validation"] * validation + ["train"] * (count - test - validation)


def leakage(table: pd.DataFrame, grouping: pd.DataFrame) -> dict[str, float | int]:
    """What test recordings share with training recordings, as shares of the test recordings.

    Args:
        table: columns recording, species, split, group, sound_sha256.
        grouping: columns recording, recordist, date, place.
    """
    known = table.merge(grouping[["recording", "recordist", "date"]], on="recording", how="left").fillna("")
    test, train = known[known["split"] == "test"], known[known["split"] == "train"]
    out: dict[str, float | int] = {
        "test_recordings": len(test),
        "recordist_known": int((test["recordist"] != "").sum()),
    }
    for name, columns in {
        "share_recordist": ["recordist"],
        "share_recordist_and_species": ["recordist", "species"],
        "share_recordist_and_day": ["recordist", "date"],
        "share_group": ["group"],
        "share_sound": ["sound_sha256"],
    }.items():
        mine = pd.MultiIndex.from_frame(test[columns])
        theirs = pd.MultiIndex.from_frame(train.loc[(train[columns] != "").all(axis=1), columns])
        out[name] = round(float(mine.isin(theirs).mean()), 4) if len(test) else 0.0
    return out
