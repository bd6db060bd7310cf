"""Stage `download`: fetch the recordings of one batch into a tar archive.

No recording is downloaded twice. A job that is killed keeps the recordings that it has fetched, and a rerun copies unchanged
recordings from the batch's previous archive.
"""

import contextlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from autobird.audio.access import LOCAL, SYNTHESISED, RecordingRoots, recording_locations
from autobird.audio.tar_file import TarMember, write_tar
from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, write_stream, write_text
from autobird.core.hashing import digest_of, file_digest
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.store import fsspec_file_system
from autobird.core.tables import read_text_csv
from autobird.sources.base import SHA256_PREFIX
from autobird.sources.fetch import url
from autobird.sources.fetch.http import Client, Unavailable
from autobird.sources.joined import ZIP
from autobird.sources.remote.settings import FetchSettings

FETCHED_COLUMNS = ["recording", "sha256", "size", "problem"]
"""Columns of the table of fetched recordings: one row per requested recording; `problem` says why it was not fetched."""

_CONTENT_HEADER = "AUTOBIRD.content"
"""Extended tar header (PAX) that holds `ListedRecording.content` of a member, to recognise unchanged recordings."""


class BatchDownload:
    """The recordings of one batch, fetched into a folder beside the archive.

    Args:
        archive: the tar archive to write.
        client: for URLs with http and https.
        zip_files: zip files that `zip://` locations refer to, by the name of their source.
    """

    def __init__(self, archive: Path, client: Client, zip_files: RecordingRoots) -> None:
        self._archive, self._client, self._zip_files = archive, client, zip_files
        self._parts = archive.with_name(f".{archive.stem}.parts")
        self._previous = archive.with_name(f".{archive.stem}.last")

    def reuse_previous_archive(self, contents: dict[str, str]) -> None:
        """Copy the unchanged recordings from the archive that the last run wrote.

        Args:
            contents: `ListedRecording.content` of each recording, by location.
        """
        if not self._previous.is_file():
            return
        with contextlib.suppress(tarfile.TarError, OSError), tarfile.open(self._previous) as previous:
            for info in previous:
                content = contents.get(info.name)
                if content is None or info.pax_headers.get(_CONTENT_HEADER) != content:
                    continue
                path = self._path(info.name, content)
                if not path.exists() and (source := previous.extractfile(info)) is not None:
                    write_stream(path, source)

    def fetch(self, location: str, content: str) -> Path:
        """Return the local file of a recording; download it if a previous call has not.

        Args:
            location: URL, or `zip://` and the name in the zip file.
            content: as in `ListedRecording`; a checksum is verified.

        Raises:
            Unavailable: the recording cannot be fetched; the message says why.
            AutobirdError: fetching failed and may succeed later.
        """
        path = self._path(location, content)
        if path.exists():
            return path
        scheme = location.partition("://")[0]
        if scheme == "zip":
            self._unzip(location.removeprefix(ZIP), path)
        elif scheme in ("http", "https"):
            sha256 = content.removeprefix(SHA256_PREFIX) if content.startswith(SHA256_PREFIX) else ""
            self._client.download(location, path, sha256)
        else:
            files, inner = fsspec_file_system(location)
            try:
                url.copy_file(files, inner, path)
            except FileNotFoundError as error:
                raise Unavailable("withdrawn: the file no longer exists") from error
            except Exception as error:
                raise AutobirdError(f"{location} cannot be read ({error}); run again later") from error
        return path

    def write_archive(self, fetched: dict[str, tuple[Path, str]]) -> None:
        """Write the archive, and keep it for `reuse_previous_archive`.

        Args:
            fetched: local file and `ListedRecording.content` of each recording, by location.
        """
        write_tar(
            self._archive,
            (TarMember(location, path, {_CONTENT_HEADER: content}) for location, (path, content) in fetched.items()),
        )
        # A hard link: Snakemake deletes the archive itself before the rule runs again.
        self._previous.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.link(self._archive, self._previous)
        shutil.rmtree(self._parts, ignore_errors=True)

    def _path(self, location: str, content: str) -> Path:
        return self._parts / digest_of(f"{location}\n{content}")

    def _unzip(self, name: str, path: Path) -> None:
        zip_file = self._zip_files.folder("")
        if zip_file is None:
            source_name, _, name = name.partition("/")
            zip_file = self._zip_files.folder(source_name)
        if zip_file is None:
            raise AutobirdError(
                f"{name} is in a zip file, but root names none; set the root of the source to the zip file"
            )
        try:
            with zipfile.ZipFile(zip_file) as archive, archive.open(name) as source:
                write_stream(path, source)
        except (KeyError, zipfile.BadZipFile) as error:
            raise Unavailable(f"cannot be read from the zip file ({error})") from error


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--archive", type=RecordingRoots.parse, nargs="?", help="zip files that hold the recordings")
    p.add_argument("--audio", type=Path, required=True, help="tar archive to write")
    p.add_argument("--fetched", type=Path, required=True, help="table of fetched recordings to write")
    args = p.parse_args(argv)
    settings = settings_of(FetchSettings, args.settings)
    with stage("download", args, [args.audio, args.fetched]):
        manifest = read_text_csv(args.manifest)
        is_elsewhere = manifest["location"].str.startswith((LOCAL, SYNTHESISED))
        manifest = manifest[(manifest["problem"] == "") & ~is_elsewhere]
        locations = [place.file for place in recording_locations(manifest)]
        batch = BatchDownload(
            args.audio, Client(settings.interval, settings.retry_seconds), args.archive or RecordingRoots({})
        )
        batch.reuse_previous_archive(dict(zip(locations, manifest["content"], strict=True)))
        progress = Progress("download", len(manifest), "recordings")
        fetched: dict[str, tuple[Path, str]] = {}
        table = [FETCHED_COLUMNS]
        for done, (location, recording) in enumerate(zip(locations, manifest.itertuples(), strict=True), 1):
            try:
                path = batch.fetch(location, recording.content)
            except Unavailable as error:
                log.warning("%s: %s", recording.recording, error)
                table.append([recording.recording, "", "", str(error)])
            else:
                fetched[location] = path, recording.content
                table.append([recording.recording, file_digest(path) or "", str(path.stat().st_size), ""])
            progress(done)
        batch.write_archive(fetched)
        write_text(args.fetched, csv_text(table))
        log.info("%d of %d recordings, %.1f MB", len(fetched), len(manifest), args.audio.stat().st_size / 1e6)


if __name__ == "__main__":
    run(main)
