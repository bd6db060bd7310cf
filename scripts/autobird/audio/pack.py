"""Stage `pack`: put the recordings of one batch into one tar, where jobs cannot read the folder they lie in.

Rules then read `<batch>.tar` instead of the folder; what they write is the same, to the byte.
"""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from autobird.audio.access import Place
from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, read_rows
from autobird.core.hashing import file_digest
from autobird.core.stage import Progress, log, parser, run, stage


def member(name: str, size: int) -> tarfile.TarInfo:
    """A tar member without owner and time, so that the tar has the same bytes each time."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def wanted(rows: Path) -> list[tuple[str, str]]:
    """The files of a batch's recordings that can be read, each once, with their sha256.

    Args:
        rows: CSV with `recording`, and `sha256` (field recordings) or `content` and `location` (a corpus).
    """
    files = {
        Place(r["recording"], r.get("location", "")).file: r.get("sha256")
        or r.get("content", "").removeprefix("sha256:")
        for r in read_rows(rows)
    }
    return [(name, digest) for name, digest in files.items() if digest]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--root", type=Path, required=True, help="the folder that the recordings lie in")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    root = args.root.expanduser()
    with stage("pack", args, [args.output]):
        found = wanted(args.manifest)
        progress = Progress("pack", len(found), "recordings")
        with atomic(args.output) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            for done, (name, digest) in enumerate(found, 1):
                path = root / name
                if file_digest(path) != digest:
                    raise AutobirdError(f"{path} changed while the run started; run again")
                with path.open("rb") as file:
                    tar.addfile(member(name, path.stat().st_size), file)
                progress(done)
        log.info("%d recordings, %.1f MB", len(found), args.output.stat().st_size / 1e6)


if __name__ == "__main__":
    run(main)
