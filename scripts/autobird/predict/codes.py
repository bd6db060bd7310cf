"""Codes and names of species from a table of the user, or from the eBird taxonomy."""

import re
from pathlib import Path
from typing import NamedTuple

from autobird.core.errors import AutobirdError
from autobird.sources.delimited_text import read_rows_of_user
from autobird.sources.labels import label_key

_CODE = ("code", "species code", "ebird code", "ebird species code", "alpha code", "banding code")
_SCIENTIFIC = ("scientific name", "sci name", "species", "label", "latin name")
_COMMON = ("common name", "primary com name", "english name", "name")
"""Names of the columns, compared by `_column`; the first one found is used."""

_LABEL = ("label", "species")
"""Columns with the name that the bundle uses, if it is not the scientific or the common name."""


class SpeciesName(NamedTuple):
    """Code, scientific and common name of a species; "" if the table does not give it."""

    code: str = ""
    scientific: str = ""
    common: str = ""


class SpeciesCodes:
    """The table of codes; species are found by label, scientific or common name, ignoring case, spaces, hyphens and underscores.

    Args:
        path: CSV or TSV with a column of codes (`code`, `species_code`) and one of names (`species`, `scientific_name`, `common_name`,
            or as in the eBird taxonomy: `SPECIES_CODE`, `SCI_NAME`, `PRIMARY_COM_NAME`).

    Raises:
        AutobirdError: the file cannot be read, or lacks these columns.
    """

    def __init__(self, path: Path) -> None:
        rows, _ = read_rows_of_user(path, "--codes")
        header = [_column(cell) for cell in rows[0]] if rows else []

        def position(names: tuple[str, ...]) -> int | None:
            return next((header.index(name) for name in names if name in header), None)

        code, scientific, common = position(_CODE), position(_SCIENTIFIC), position(_COMMON)
        if code is None or (scientific is None and common is None):
            raise AutobirdError(
                f"--codes {path} has the columns {', '.join(rows[0]) if rows else '(none)'}; it needs one of codes (code, species_code) "
                "and one of names (species, scientific_name, common_name)"
            )
        self._names: dict[str, SpeciesName] = {}
        keys = [at for at in (position((name,)) for name in _LABEL) if at is not None] + [scientific, common]
        for cells in rows[1:]:
            row = cells + [""] * (len(header) - len(cells))
            name = SpeciesName(row[code], *("" if at is None else row[at] for at in (scientific, common)))
            for at in keys:
                if at is not None and row[at]:
                    self._names.setdefault(label_key(row[at]), name)

    def of(self, species: str) -> SpeciesName:
        """Return the code and names of a species; all "" if the table does not have it."""
        return self._names.get(label_key(species), SpeciesName())

    def missing(self, species: list[str]) -> list[str]:
        """Return the species without a code."""
        return [name for name in species if not self.of(name).code]


def _column(text: str) -> str:
    return re.sub(r"[\s_.]+", " ", text.strip().strip('"')).strip().casefold()
