"""The folder of jobs: each has a folder with its state, its upload until it ends, and its result; safe at a kill at any time."""

import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from autobird.core.errors import AutobirdError
from autobird.serving.jobs.job import Job

log = logging.getLogger("autobird")

_ID = re.compile(r"[0-9a-f]{32}")
_JOB, _UPLOAD, _RESULT = "job.json", "upload", "result.json"
_NEW, _OLD = ".new-", ".old-"
"""Folders of jobs whose upload is not complete, and of those that are being removed."""


TEMPORARY = "upload-"
"""Start of the names of uploads to other routes (`spool.Spool`), of which some remain after a kill."""


class JobFolder:
    """Files of jobs below a folder, which one server uses at a time.

    Raises:
        AutobirdError: the folder cannot be used, or another server uses it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "jobs"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._folder / "lock", thread_local=False)
            self._lock.acquire(timeout=0)
            for leftover in (*self._folder.glob(f"{_NEW}*"), *self._folder.glob(f"{_OLD}*")):
                shutil.rmtree(leftover)
            for upload in folder.glob(f"{TEMPORARY}*"):
                upload.unlink()
        except Timeout:
            raise AutobirdError(
                f"--state {folder} is used by another server; give each server a folder of its own"
            ) from None
        except OSError as error:
            raise AutobirdError(
                f"--state {folder} cannot be used ({error.strerror}); give the path of a folder in which this user may write"
            ) from error

    def close(self) -> None:
        """Let another server use the folder."""
        self._lock.release()

    def free_bytes(self) -> int:
        """Return the free space of the disk."""
        return shutil.disk_usage(self._folder).free

    def load(self) -> Iterator[Job]:
        """Yield the stored jobs, the oldest first; those that cannot be read are removed."""
        found = []
        for folder in self._folder.iterdir():
            if not _ID.fullmatch(folder.name):
                continue
            try:
                job = Job.from_json(json.loads((folder / _JOB).read_text(encoding="utf-8")))
                if job.id != folder.name:
                    raise ValueError("another id")
                found.append(job)
            except OSError as error:
                if isinstance(error, FileNotFoundError):
                    self.remove(folder.name)
                else:  # perhaps for a moment only, as with too many open files
                    log.warning("the job %s cannot be read now and is left out: %s", folder.name, error)
            except (ValueError, TypeError, KeyError) as error:
                log.warning("the job %s cannot be read and is removed: %s", folder.name, error)
                self.remove(folder.name)
        return iter(sorted(found, key=lambda job: (job.created, job.id)))

    def begin(self) -> tuple[str, Path]:
        """Return the id of a new job, and a new folder for its upload."""
        number = uuid.uuid4().hex
        folder = self._folder / f"{_NEW}{number}"
        folder.mkdir()
        return number, folder

    def upload_of(self, number: str) -> Path:
        """Return the path of the upload of a job."""
        return self._folder / number / _UPLOAD

    def add(self, job: Job, upload: bytes | memoryview | Path) -> None:
        """Store a new job with its upload: its content, or a file in the folder of `begin`, which is moved."""
        new = self._folder / f"{_NEW}{job.id}"
        if isinstance(upload, Path):
            upload.replace(new / _UPLOAD)
            _sync(new / _UPLOAD)
        else:
            _write(new / _UPLOAD, upload)
        _write(new / _JOB, json.dumps(job.to_json()).encode())
        new.replace(self._folder / job.id)
        _sync(self._folder)

    def abandon(self, number: str) -> None:
        """Remove the folder of `begin`, if it is still there."""
        shutil.rmtree(self._folder / f"{_NEW}{number}", ignore_errors=True)

    def save(self, job: Job) -> None:
        """Replace the stored state of a job."""
        self._replace(job.id, _JOB, json.dumps(job.to_json()).encode())

    def save_result(self, number: str, result: dict[str, Any]) -> None:
        """Store the result of a job."""
        self._replace(number, _RESULT, json.dumps(result, ensure_ascii=False).encode())

    def result(self, number: str) -> dict[str, Any] | None:
        """Return the result of a job; None if there is none."""
        try:
            value: dict[str, Any] = json.loads((self._folder / number / _RESULT).read_bytes())
            return value
        except (OSError, ValueError):
            return None

    def remove_upload(self, number: str) -> None:
        """Delete the upload of a job."""
        with suppress(OSError):
            self.upload_of(number).unlink(missing_ok=True)

    def remove(self, number: str) -> None:
        """Delete a job."""
        old = self._folder / f"{_OLD}{number}"
        with suppress(OSError):
            (self._folder / number).replace(old)
        shutil.rmtree(old, ignore_errors=True)

    def _replace(self, number: str, name: str, data: bytes) -> None:
        temporary = self._folder / number / f".{name}.tmp"
        _write(temporary, data)
        temporary.replace(self._folder / number / name)
        _sync(self._folder / number)


def _write(path: Path, data: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Write a file or the entries of a folder to the disk; Windows cannot open folders, and writes their entries itself."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
