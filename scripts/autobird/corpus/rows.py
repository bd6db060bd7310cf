"""Stage `rows`: write what the source says about one batch, or one set of columns about all recordings.

The Snakefile lists the source while it is parsed and hands over the digest of what it saw; this stage lists it
again (hashes come from the cache) and writes just what has that digest.
"""

from collections.abc import Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, write_text
from autobird.core.hashing import batch_of, digest_of
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.corpus.metadata import DETAILS, GROUPING, Facts, table_text
from autobird.corpus.settings import CorpusSettings
from autobird.corpus.sources import Row, Source, source_of


class Listing:
    """The texts of a source's tables: `rows(b)` of each batch, `grouping` and `details` of all recordings.

    Attributes:
        sizes: bytes of each recording's file, by batch.
    """

    def __init__(self, source: Source, batches: int) -> None:
        self.all = source.rows()
        self.species = sorted({r.species for r in self.all if r.species and not r.problem})
        by_batch: list[list[Row]] = [[] for _ in range(batches)]
        for row in self.all:
            by_batch[batch_of(row.recording, batches)].append(row)
        self._rows = [
            csv_text(
                [
                    ["recording", "species", "content", "problem"],
                    *([r.recording, r.species, r.content, r.problem] for r in b),
                ]
            )
            for b in by_batch
        ]
        self.sizes = [[r.size for r in b] for b in by_batch]
        known = {r.recording for r in self.all}
        facts = source.facts()
        self.unmatched = [f.recording for f in facts if f.recording not in known]
        self._facts = [f for f in facts if f.recording in known]

    def check(self, settings: CorpusSettings) -> None:
        """Refuse what cannot become a classifier, before any job.

        Raises:
            AutobirdError: no recordings, or fewer than two species.
        """
        if not self.all:
            raise AutobirdError(
                f"corpus.root: {settings.root} holds no files; give the folder that holds one folder per species"
            )
        if len(self.species) < 2:
            names = ", ".join(self.species) or "no species folder"
            raise AutobirdError(
                f"corpus.root: {settings.root} holds one species ({names}), and a classifier needs two; "
                "give the folder that holds one folder per species"
            )

    def text(self, table: str) -> str:
        """A table by its name: `grouping`, `details`, or the number of a batch."""
        if table == "grouping":
            return table_text([f for f in self._facts if _any(f, GROUPING)], GROUPING)
        if table == "details":
            return table_text([f for f in self._facts if _any(f, DETAILS)], DETAILS)
        return self._rows[int(table)]

    def digest(self, table: str) -> str:
        """sha256 of a table's text."""
        return digest_of(self.text(table))


def _any(facts: Facts, columns: tuple[str, ...]) -> bool:
    return any(getattr(facts, c) for c in columns)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--table", required=True, help="a batch's number, `grouping` or `details`")
    p.add_argument("--digest", required=True, help="sha256 of the table as the Snakefile saw it")
    p.add_argument("--cache", type=Path, required=True, help="file of the sha256 cache")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(CorpusSettings, args.settings)
    with stage("rows", args, [args.output]):
        text = Listing(source_of(settings, args.cache), settings.batches).text(args.table)
        if digest_of(text) != args.digest:
            raise AutobirdError(f"the recordings below {settings.root} changed while the run started; run again")
        write_text(args.output, text)
        log.info("table %s: %d lines", args.table, text.count("\n") - 1)


if __name__ == "__main__":
    run(main)
