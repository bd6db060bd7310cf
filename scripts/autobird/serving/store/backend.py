"""What the log needs of a database."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from autobird.serving.store.entries import Values
from autobird.serving.store.schema import TableName


class Unavailable(Exception):
    """The database cannot be used now: it is locked, full, damaged, may not be written, or cannot be reached."""


class RowRefused(Exception):
    """The database refuses the values of a row; another attempt would fail too."""


class Row(NamedTuple):
    """A row to write: table, values, and a random key that no other row has."""

    table: TableName
    values: Values
    key: str


Query = Callable[[str, Sequence[Any]], Iterator[tuple[Any, ...]]]
"""Runs a statement with `?` for each parameter, and yields the rows of its result."""


class Backend(Protocol):
    """A database with the tables of the log.

    `write`, `prune` and `close` are called by one thread, `snapshot` by any.

    Attributes:
        name: what messages call it; without a password.
        recreated: how often the tables were created again, because someone had removed or moved them.
    """

    name: str
    recreated: int

    def open(self) -> None:
        """Create the tables, or add the columns that an older version did not have.

        Raises:
            AutobirdError: the database cannot be used, or holds other tables of these names.
        """
        ...

    def write(self, rows: Sequence[Row]) -> list[int | None]:
        """Write rows in one transaction, and return their ids after it is committed; None: the row was already there.

        Raises:
            Unavailable: none of them was written.
            RowRefused: none of them was written.
        """
        ...

    def prune(self, before: float, limit: int) -> int:
        """Remove the oldest predictions from before a time (seconds since 1970 UTC), at most `limit`; return how many.

        Raises:
            Unavailable: none was removed.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Query]:
        """Open the database for reading; all statements see the same rows, also while some are added.

        Raises:
            Unavailable: it cannot be read.
        """
        ...

    def close(self) -> None:
        """Close the connection that writes."""
        ...
