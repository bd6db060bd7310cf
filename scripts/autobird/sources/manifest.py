"""Batch manifests and the other tables of a source, stored by checksum; stage `manifest` copies one of them to its output.

The Snakefile lists the source once and stores its tables under their sha256. The rule of each table receives that sha256 as
a parameter. A job therefore reruns when its table changes, and the source is not listed again for each batch.
"""

import csv
import hashlib
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import write_bytes, write_text
from autobird.core.hashing import digest_of
from autobird.core.stage import log, parser, run, stage

_KEEP_DAYS = 7
"""Days for which tables are kept after the last listing that contained them: another run in the same folder may need them."""


class CsvTable:
    """A CSV table that is built row by row, held as bytes because tables of a million recordings must fit into memory.

    Args:
        header: names of the columns.
    """

    def __init__(self, *header: str) -> None:
        self._header = header
        self.data = bytearray()
        self._write = csv.writer(self, lineterminator="\n").writerow
        self._write(header)

    def write(self, text: str) -> None:
        """Append encoded text; called by the CSV writer."""
        self.data += text.encode()

    def add(self, *values: str) -> None:
        """Append a row."""
        self._write(values)

    def replace(self, column: str, replacements: Mapping[str, str]) -> None:
        """Replace whole values of a column."""
        position = self._header.index(column)
        lines = io.TextIOWrapper(io.BytesIO(self.data), encoding="utf-8", newline="")
        self.data = bytearray()
        for row in csv.reader(lines):
            row[position] = replacements.get(row[position], row[position])
            self._write(row)


class Manifests:
    """The tables of a listing, by name: the number of a batch, or the name of a table about all recordings."""

    def __init__(self, tables: Mapping[str, CsvTable]) -> None:
        self._texts = {name: table.data for name, table in tables.items()}
        self._digests = {name: hashlib.sha256(data).hexdigest() for name, data in self._texts.items()}

    def text(self, table: str) -> str:
        """Return a table as CSV; available until `store` is called."""
        return self._texts[_table_name(table)].decode()

    def digest(self, table: str) -> str:
        """Return the sha256 of a table."""
        return self._digests[_table_name(table)]

    def store(self, folder: Path) -> None:
        """Write every table to `folder` under its sha256, where stage `manifest` reads it, and free its memory."""
        folder.mkdir(parents=True, exist_ok=True)
        stored = {p.name: p for p in folder.iterdir()}
        for table, digest in self._digests.items():
            if digest in stored:
                # A new modification time: another listing that shares the folder (prediction and drift) must not delete it.
                stored[digest].touch()
            else:
                write_bytes(folder / digest, bytes(self._texts[table]))
        current = set(self._digests.values())
        oldest = time.time() - _KEEP_DAYS * 86400
        for name, path in stored.items():
            if name not in current and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
        self._texts.clear()


def _table_name(table: str) -> str:
    """Return the name of a table; file names pad the numbers of batches with zeros."""
    return str(int(table)) if table.isdigit() else table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--digest", required=True, help="sha256 of the table when the Snakefile listed the source")
    p.add_argument("--tables", type=Path, required=True, help="folder in which the Snakefile stored the tables")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("manifest", args, [args.output]):
        stored = args.tables / args.digest
        text = stored.read_bytes().decode() if stored.is_file() else ""
        if digest_of(text) != args.digest:
            stored.unlink(missing_ok=True)
            raise AutobirdError(f"{stored} is missing or damaged; run again")
        write_text(args.output, text)
        log.info("%d bytes", len(text))


if __name__ == "__main__":
    run(main)
