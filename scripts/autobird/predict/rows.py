"""Stage `predict_rows`: write which recordings of a folder fall into one batch."""

from collections.abc import Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import write_text
from autobird.core.hashing import digest_of
from autobird.core.stage import log, parser, run, stage
from autobird.predict.listing import FolderListing


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--root", type=Path, required=True)
    p.add_argument("--batch", type=int, required=True)
    p.add_argument("--batches", type=int, required=True)
    p.add_argument("--digest", required=True, help="sha256 of the table as the Snakefile saw it")
    p.add_argument("--cache", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("predict_rows", args, [args.output]):
        text = FolderListing(args.root, args.cache, args.batches, "--root").text(args.batch)
        if digest_of(text) != args.digest:
            raise AutobirdError(f"the recordings below {args.root} changed while the run started; run again")
        write_text(args.output, text)
        log.info("batch %d: %d recordings", args.batch, text.count("\n") - 1)


if __name__ == "__main__":
    run(main)
