"""Thresholds that a user sets for a bundle, in a table beside its folder, so that the bundle and its manifest stay unchanged."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, write_text
from autobird.core.text import read_text_of_user
from autobird.predict.bundle import Bundle
from autobird.predict.overlay_path import overlay_path

COLUMNS = ("bundle", "species", "threshold")
"""Columns of the table. `bundle` is the fingerprint of the bundle that the thresholds were chosen for, in every row."""


def write_overlay(bundle: Bundle, thresholds: Mapping[str, float]) -> Path:
    """Write the thresholds of some species of a bundle; return the path of the table.

    Args:
        bundle: the bundle.
        thresholds: smallest probability at which a species is detected in a window, by species.

    Raises:
        AutobirdError: the bundle does not know a species, or a value is not from 0 to 1.
    """
    path = overlay_path(bundle.folder)
    for species, threshold in thresholds.items():
        _check(f"{path}: {species}", bundle, species, threshold)
    rows = [[bundle.fingerprint, name, repr(float(thresholds[name]))] for name in bundle.labels if name in thresholds]
    write_text(path, csv_text([list(COLUMNS), *rows]))
    return path


def read_overlay(bundle: Bundle) -> dict[str, float]:
    """Return the thresholds in the table beside a bundle, by species; empty without a table.

    Raises:
        AutobirdError: the table is damaged, was made for another bundle, or names a species that the bundle does not know.
    """
    path = overlay_path(bundle.folder)
    if not path.is_file():
        return {}
    reader = csv.DictReader(io.StringIO(read_text_of_user(path).text, newline=""))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise AutobirdError(f"{path} has no column {' and '.join(missing)}; it needs the columns {', '.join(COLUMNS)}")
    found: dict[str, float] = {}
    for number, row in enumerate(reader, 2):
        where = f"{path}, line {number}"
        if row["bundle"] != bundle.fingerprint:
            raise AutobirdError(
                f"{where}: these thresholds were chosen for the bundle {row['bundle']}, but {bundle.folder} is "
                f"{bundle.fingerprint}; choose them again for this bundle, or remove the file"
            )
        species = row["species"] or ""
        try:
            threshold = float(row["threshold"])
        except (TypeError, ValueError):
            threshold = math.nan
        _check(f"{where}: {species} {row['threshold']!r}", bundle, species, threshold)
        if species in found:
            raise AutobirdError(f"{where}: {species} has a threshold in an earlier line, too; remove one of them")
        found[species] = threshold
    return found


def _check(where: str, bundle: Bundle, species: str, threshold: float) -> None:
    if species not in bundle.labels:
        raise AutobirdError(f"{where}: the bundle {bundle.folder} does not know this species; correct or remove it")
    if not 0 <= threshold <= 1:
        raise AutobirdError(f"{where}: a threshold is a probability from 0 to 1; correct it")
