"""Stage `rows`: hand on one table of what the source held when the Snakefile was parsed.

The Snakefile lists the source, keeps its tables by their digests, and hands over the digest of each; so the source
is listed once, however many batches there are.
"""

from collections.abc import Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import write_text
from autobird.core.hashing import digest_of
from autobird.core.stage import log, parser, run, stage


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--digest", required=True, help="sha256 of the table as the Snakefile saw it")
    p.add_argument("--tables", type=Path, required=True, help="folder that the Snakefile keeps the tables in")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("rows", args, [args.output]):
        kept = args.tables / args.digest
        text = kept.read_bytes().decode() if kept.is_file() else ""
        if digest_of(text) != args.digest:
            kept.unlink(missing_ok=True)
            raise AutobirdError(f"{kept} is gone or damaged; run again")
        write_text(args.output, text)
        log.info("%d bytes", len(text))


if __name__ == "__main__":
    run(main)
