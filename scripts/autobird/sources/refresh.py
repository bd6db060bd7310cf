"""Stage `refresh_sources`: ask a remote source what it holds and write that down; prints what changed.

The only stage besides `download` that uses the network.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.stage import log, parser, print_line, run, settings_of, stage
from autobird.sources import url as url_source
from autobird.sources import xeno_canto as xeno_canto_source
from autobird.sources.fetch import kaggle, url, xeno_canto
from autobird.sources.lock import Changes, write_lock
from autobird.sources.settings import SourceSettings

_SHOWN = 20
"""Ids of each kind that are printed; all of them stand in the lock file's diff."""


def refresh(settings: SourceSettings) -> Changes | None:
    """Renew what is known of the source; None where it has no lock file."""
    lock = Path(settings.lock)
    match settings.type:
        case "xeno_canto":
            wanted = settings.xeno_canto
            entries = xeno_canto.listing(wanted, settings.fetch)
            return write_lock(lock, xeno_canto_source.source_key(wanted), entries, "id")
        case "url":
            root = settings.root or ""
            with tempfile.TemporaryDirectory() as work:
                return write_lock(lock, url_source.source_key(root), url.listing(settings, Path(work)), "recording")
        case "kaggle" if settings.root is None:
            kaggle.bring(settings.kaggle)
            return None
        case _:
            raise AutobirdError(f"corpus.type {settings.type} is read where it lies; there is nothing to refresh")


def report(changes: Changes) -> list[str]:
    """What changed, in lines for people."""
    lines = []
    for word, ids in (("came", changes.came), ("went", changes.went), ("changed", changes.changed)):
        shown = ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
        lines.append(f"{len(ids)} recordings {word}{': ' + shown if ids else ''}")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    args = p.parse_args(argv)
    settings = settings_of(SourceSettings, args.settings)
    with stage("refresh_sources", args, [Path(settings.lock)]):
        changes = refresh(settings)
        for line in report(changes) if changes else ():
            log.info("%s", line)
            print_line(f"[refresh_sources] {line}")


if __name__ == "__main__":
    run(main)
