"""Stage `pack`: copy the local recordings of one batch into a tar, for jobs that cannot read the folders of the corpus.

The following rules read `<batch>.tar` instead of the folders; the bytes of their outputs are the same.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from autobird.audio.access import LOCAL, RecordingLocation, RecordingRoots
from autobird.audio.tar_file import TarMember, write_tar
from autobird.core.errors import AutobirdError
from autobird.core.files import read_rows
from autobird.core.hashing import file_digest
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, stage

_SHA256 = "sha256:"
"""Prefix of the checksum of a file in a manifest of the corpus."""


def files_with_digests(manifest: Path) -> list[tuple[str, str]]:
    """Return the readable local files of a batch, each once, with their sha256; files without sha256 are unreadable.

    Recordings that are downloaded or synthesised are left out.

    Args:
        manifest: CSV with `recording`, and `sha256` (field recordings) or `content` and `location` (a corpus).
    """
    files: dict[str, str] = {}
    for row in read_rows(manifest):
        file = RecordingLocation(row["recording"], row.get("location", "")).file
        digest = row.get("sha256") or row.get("content", "").removeprefix(_SHA256)
        is_local = file.startswith(LOCAL) or "://" not in row.get("location", "")
        if digest and is_local and ":" not in digest:  # the content of a synthesised recording is no checksum
            files[file] = digest
    return list(files.items())


def _members(files: Sequence[tuple[str, str]], root: RecordingRoots) -> Iterator[TarMember]:
    """Yield the files of a batch.

    Raises:
        AutobirdError: a file has another checksum than in the manifest.
    """
    progress = Progress("pack", len(files), "recordings")
    for done, (name, digest) in enumerate(files, 1):
        path = root.path(name)
        if path is None or file_digest(path) != digest:
            raise AutobirdError(f"{path or name} has changed since the run started; run again")
        yield TarMember(name, path)
        progress(done)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--root", type=RecordingRoots.parse, required=True, help="folders of the recordings")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("pack", args, [args.output]):
        files = files_with_digests(args.manifest)
        write_tar(args.output, _members(files, args.root))
        log.info("%d recordings, %.1f MB", len(files), args.output.stat().st_size / 1e6)


if __name__ == "__main__":
    run(main)
