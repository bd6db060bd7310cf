"""The tables of the log: columns, indexes and statements, for SQLite and PostgreSQL."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from autobird.drift.names import DRIFT_FEATURES

TableName = Literal["predictions", "feedback"]

VERSION = 2
"""Version of the tables. 1: until 2026-11, without the columns of `ADDED`."""


class Column(NamedTuple):
    """A column: name, type, and whether it always has a value."""

    name: str
    kind: Literal["real", "text", "integer"]
    required: bool = False

    @property
    def title(self) -> str:
        """Name in answers and exported tables, the same as in other tables; `end` is a keyword of SQL."""
        return self.name.removesuffix("_seconds")


FIRST = (
    Column("time", "real", True),
    Column("bundle", "text", True),
    Column("duration", "real", True),
    Column("species", "text"),
    Column("probability", "real"),
    *(Column(name, "real", True) for name in DRIFT_FEATURES),
)
"""Columns of `predictions` in version 1. Time: seconds since 1970 UTC; duration: seconds."""

ADDED = (
    Column("request", "text"),
    Column("role", "text"),
    Column("unknown_score", "real"),
    Column("detections", "text"),
    Column("detection_count", "integer"),
    Column("seconds", "text"),
)
"""Columns of `predictions` since version 2; older entries have no values there. Detections: JSON, a list of [start, end, species,
probability]; seconds: JSON, time by stage."""

PREDICTIONS = FIRST + ADDED

FEEDBACK = (
    Column("time", "real", True),
    Column("request", "text", True),
    Column("prediction", "integer"),
    Column("start_seconds", "real", True),
    Column("end_seconds", "real", True),
    Column("species", "text", True),
    Column("decision", "text", True),
    Column("other_species", "text", True),
    Column("reviewer", "text", True),
)

TABLES: dict[TableName, tuple[Column, ...]] = {"predictions": PREDICTIONS, "feedback": FEEDBACK}

ROLE = "coalesce(role, 'answer')"
"""Role of an entry: those of version 1 have none and are answers."""

INDEXES = (
    "CREATE INDEX IF NOT EXISTS predictions_time ON predictions (time)",
    "CREATE INDEX IF NOT EXISTS predictions_bundle ON predictions (bundle, id)",
    "CREATE INDEX IF NOT EXISTS predictions_species ON predictions (species, id)",
    f"CREATE INDEX IF NOT EXISTS predictions_role ON predictions (({ROLE}), id)",
    "CREATE INDEX IF NOT EXISTS predictions_request ON predictions (request)",
)
"""For pruning and time ranges, the drift test, the pages of one species or role, and the ids of feedback."""


class Dialect(NamedTuple):
    """What differs between the databases: the types, the definition of the id, columns that only one has, and the placeholder."""

    types: dict[str, str]
    number: str
    extra: str
    placeholder: str

    def create(self, table: TableName) -> str:
        """Return the statement that creates a table if it is missing."""
        columns = ", ".join(self.definition(c) + (" NOT NULL" if c.required else "") for c in TABLES[table])
        return f"CREATE TABLE IF NOT EXISTS {table} (id {self.number}, {columns}{self.extra})"

    def definition(self, column: Column) -> str:
        """Return name and type of a column."""
        return f"{column.name} {self.types[column.kind]}"

    def insert(self, table: TableName, extra: Iterable[str] = ()) -> str:
        """Return the statement that adds a row; its values are those of `TABLES` and `extra`."""
        names = [column.name for column in TABLES[table]] + list(extra)
        return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join([self.placeholder] * len(names))})"


SQLITE = Dialect({"real": "REAL", "text": "TEXT", "integer": "INTEGER"}, "INTEGER PRIMARY KEY AUTOINCREMENT", "", "?")

POSTGRES = Dialect(
    {"real": "DOUBLE PRECISION", "text": "TEXT", "integer": "BIGINT"},
    "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    ", key TEXT UNIQUE",
    "%s",
)
