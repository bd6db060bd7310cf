"""A job that is being uploaded, and why none is accepted."""

import time
from pathlib import Path

from autobird.serving.compute.requests import TaskOptions
from autobird.serving.jobs.folder import JobFolder
from autobird.serving.jobs.job import Job
from autobird.serving.jobs.length import declared_seconds


class TooManyJobs(Exception):
    """No further job is accepted now.

    Attributes:
        status: 503: there are too many; 507: the disk is full.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NewJob:
    """A job whose upload is not complete yet.

    Attributes:
        id: its id.
        folder: folder for its upload.
    """

    def __init__(self, number: str, folder: Path, files: JobFolder) -> None:
        self.id, self.folder = number, folder
        self._files = files
        self.job: Job | None = None

    def store(self, name: str, source: bytes | memoryview | Path, options: TaskOptions) -> Job:
        """Store the upload: its content, or a file in `folder`, which is moved."""
        size = source.stat().st_size if isinstance(source, Path) else len(source)
        job = Job(self.id, name, size, time.time(), options, length=declared_seconds(source))
        self._files.add(job, source)
        self.job = job
        return job
