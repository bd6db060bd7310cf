"""Stage `refresh_sources`: list the recordings of each remote source in its lock file, and print what changed.

Only this stage and stage `download` use the network.
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
from autobird.sources.settings import NamedSourceSettings, OneSourceSettings, SourceSettings

_MAX_PRINTED_IDS = 20
"""Maximum number of ids printed per kind of change; the diff of the lock file shows all."""


def listed_on_servers(settings: SourceSettings) -> list[OneSourceSettings]:
    """Return the sources that are listed on a server; if there are none, the first source, which `refresh` refuses."""
    sources: list[OneSourceSettings] = list(settings.sources or (settings,))
    remote = [s for s in sources if s.type in ("xeno_canto", "url") or (s.type == "kaggle" and s.root is None)]
    return remote or sources[:1]


def refresh(corpus: SourceSettings, source: OneSourceSettings | None = None) -> Changes | None:
    """Update the lock file of a source; None for a Kaggle data set, which is downloaded and has no lock file.

    Args:
        corpus: the section `corpus`.
        source: settings of the source, if there are several.

    Raises:
        AutobirdError: the source is local, or cannot be listed.
    """
    settings = source or corpus
    lock = settings.lock_file
    match settings.type:
        case "xeno_canto":
            entries = xeno_canto.list_recordings(settings.xeno_canto, corpus.fetch)
            return write_lock(lock, xeno_canto_source.source_key(settings.xeno_canto), entries, "id")
        case "url":
            with tempfile.TemporaryDirectory() as work:
                entries = url.list_recordings(settings, Path(work))
            return write_lock(lock, url_source.source_key(settings.root or ""), entries, "recording")
        case "kaggle" if settings.root is None:
            kaggle.fetch(settings.kaggle)
            return None
        case _:
            raise AutobirdError(f"corpus.type {settings.type} is not a remote source; there is nothing to refresh")


def describe(changes: Changes) -> list[str]:
    """Return one line per kind of change: the number of recordings and their first ids."""
    lines = []
    for kind, ids in changes._asdict().items():
        printed = ", ".join(ids[:_MAX_PRINTED_IDS]) + (", ..." if len(ids) > _MAX_PRINTED_IDS else "")
        lines.append(f"{len(ids)} recordings {kind}{': ' + printed if ids else ''}")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    args = p.parse_args(argv)
    settings = settings_of(SourceSettings, args.settings)
    sources = listed_on_servers(settings)
    with stage("refresh_sources", args, [source.lock_file for source in sources]):
        for source in sources:
            changes = refresh(settings, source)
            name = f"{source.name}: " if isinstance(source, NamedSourceSettings) else ""
            for line in describe(changes) if changes else ():
                log.info("%s%s", name, line)
                print_line(f"[refresh_sources] {name}{line}")


if __name__ == "__main__":
    run(main)
