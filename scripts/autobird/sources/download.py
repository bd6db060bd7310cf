"""Stage `download`: bring the recordings of one batch into one tar.

Each recording is kept as soon as it is there, and the last tar of the batch is used again, so that nothing is
downloaded twice: not after a kill, and not when one recording is added.
"""

import contextlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from autobird.audio.access import recording_locations
from autobird.audio.pack import tar_member
from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, csv_text, write_stream, write_text
from autobird.core.hashing import digest_of, file_digest
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.store import fsspec_file_system
from autobird.core.tables import read_text_csv
from autobird.sources.fetch import url
from autobird.sources.fetch.http import Client, Withdrawn
from autobird.sources.settings import FetchSettings

FETCHED = ["recording", "sha256", "size", "problem"]
"""Columns of what came: one row a recording that was to come, with the reason in words if it did not."""


class Batch:
    """The recordings of one batch, gathered in a folder beside its tar.

    Args:
        tar: the tar that will be written.
        client: for http and https.
        archive: the zip that `zip://` locations lie in.
    """

    def __init__(self, tar: Path, client: Client, archive: Path | None) -> None:
        self._parts = tar.with_name(f".{tar.stem}.parts")
        self._kept = tar.with_name(f".{tar.stem}.last")
        self._client, self._archive = client, archive

    def recall(self, contents: dict[str, str]) -> None:
        """Take from the last tar what has not changed since; `contents`: what stands for each member's bytes."""
        if not self._kept.is_file():
            return
        with contextlib.suppress(tarfile.TarError, OSError), tarfile.open(self._kept) as old:
            for info in old:
                path = self._path(info.name, contents.get(info.name, ""))
                if info.name not in contents or info.pax_headers.get(_CONTENT) != contents[info.name] or path.exists():
                    continue
                source = old.extractfile(info)
                if source is not None:
                    write_stream(path, source)

    def bring(self, location: str, content: str) -> Path:
        """The file of one location, downloaded if it is not there yet.

        Raises:
            Withdrawn: it cannot be had; the message says why.
        """
        path = self._path(location, content)
        if path.exists():
            return path
        scheme = location.partition("://")[0]
        if scheme == "zip":
            self._unzip(location.removeprefix("zip://"), path)
        elif scheme in ("http", "https"):
            digest = content.removeprefix("sha256:") if content.startswith("sha256:") else ""
            self._client.download(location, path, digest)
        else:
            files, inner = fsspec_file_system(location)
            try:
                url.fetch(files, inner, path)
            except FileNotFoundError as error:
                raise Withdrawn("withdrawn: no longer there") from error
            except Exception as error:
                raise AutobirdError(f"{location} cannot be read ({error}); run again later") from error
        return path

    def write(self, tar: Path, found: dict[str, tuple[Path, str]]) -> None:
        """Write the tar of the files that came, by member name, and keep it for the next time."""
        with atomic(tar) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as out:
            for name, (path, content) in found.items():
                info = tar_member(name, path.stat().st_size)
                info.pax_headers = {_CONTENT: content}
                with path.open("rb") as file:
                    out.addfile(info, file)
        # A second name for the same bytes: Snakemake deletes the first before the rule runs again.
        self._kept.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.link(tar, self._kept)
        shutil.rmtree(self._parts, ignore_errors=True)

    def _path(self, location: str, content: str) -> Path:
        return self._parts / digest_of(f"{location}\n{content}")

    def _unzip(self, name: str, path: Path) -> None:
        if self._archive is None:
            raise AutobirdError(f"{name} lies in a zip, and corpus.root names none")
        try:
            with zipfile.ZipFile(self._archive) as archive, archive.open(name) as source:
                write_stream(path, source)
        except (KeyError, zipfile.BadZipFile) as error:
            raise Withdrawn(f"the zip does not yield it ({error})") from error


_CONTENT = "AUTOBIRD.content"


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--archive", type=Path, nargs="?", help="the zip that the recordings lie in")
    p.add_argument("--audio", type=Path, required=True, help="the tar to write")
    p.add_argument("--fetched", type=Path, required=True, help="what came")
    args = p.parse_args(argv)
    settings = settings_of(FetchSettings, args.settings)
    with stage("download", args, [args.audio, args.fetched]):
        rows = read_text_csv(args.manifest)
        rows = rows[rows["problem"] == ""]
        files = [place.file for place in recording_locations(rows)]
        batch = Batch(args.audio, Client(settings.interval, settings.patience), args.archive)
        batch.recall(dict(zip(files, rows["content"], strict=True)))
        progress = Progress("download", len(rows), "recordings")
        came: dict[str, tuple[Path, str]] = {}
        lines = [FETCHED]
        for done, (file, row) in enumerate(zip(files, rows.itertuples(), strict=True), 1):
            try:
                path = batch.bring(file, row.content)
            except Withdrawn as error:
                log.warning("%s: %s", row.recording, error)
                lines.append([row.recording, "", "", str(error)])
            else:
                came[file] = path, row.content
                lines.append([row.recording, file_digest(path) or "", str(path.stat().st_size), ""])
            progress(done)
        batch.write(args.audio, came)
        write_text(args.fetched, csv_text(lines))
        log.info("%d of %d recordings, %.1f MB", len(came), len(rows), args.audio.stat().st_size / 1e6)


if __name__ == "__main__":
    run(main)
