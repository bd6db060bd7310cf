"""Stage `pack`: copy the recordings of one batch into a tar, for jobs that cannot read the folder of the corpus.

The following rules read `<batch>.tar` instead of the folder; the bytes of their outputs are the same.
"""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from autobird.audio.access import RecordingLocation
from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, read_rows
from autobird.core.hashing import file_digest
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, stage
from autobird.core.walk import path_of_printable


def tar_member(name: str, size: int) -> tarfile.TarInfo:
    """Return a tar member without owner and time, so that the same files give the same tar, byte for byte."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def files_with_digests(manifest: Path) -> list[tuple[str, str]]:
    """Return the readable files of a batch, each once, with their sha256; files without sha256 are unreadable.

    Args:
        manifest: CSV with `recording`, and `sha256` (field recordings) or `content` and `location` (a corpus).
    """
    files = {
        RecordingLocation(r["recording"], r.get("location", "")).file: r.get("sha256")
        or r.get("content", "").removeprefix("sha256:")
        for r in read_rows(manifest)
    }
    return [(name, digest) for name, digest in files.items() if digest]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--root", type=Path, required=True, help="folder of the recordings")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    root = args.root.expanduser()
    with stage("pack", args, [args.output]):
        files = files_with_digests(args.manifest)
        progress = Progress("pack", len(files), "recordings")
        with atomic(args.output) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            for done, (name, digest) in enumerate(files, 1):
                path = path_of_printable(root, name)
                if file_digest(path) != digest:
                    raise AutobirdError(f"{path} has changed since the run started; run again")
                with path.open("rb") as file:
                    tar.addfile(tar_member(name, path.stat().st_size), file)
                progress(done)
        log.info("%d recordings, %.1f MB", len(files), args.output.stat().st_size / 1e6)


if __name__ == "__main__":
    run(main)
