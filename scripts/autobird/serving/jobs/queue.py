"""The queue of jobs: one thread computes them in the order of arrival, and removes old ones."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from autobird.serving.compute.requests import ClientGone, QueueFull, Task, TaskAnswer, TaskProblem
from autobird.serving.jobs.compute import Computes
from autobird.serving.jobs.folder import JobFolder
from autobird.serving.jobs.job import Job, JobLimits
from autobird.serving.jobs.new_job import NewJob, TooManyJobs
from autobird.serving.store.backend import Unavailable
from autobird.serving.store.entries import LogEntry
from autobird.serving.store.store import Store

log = logging.getLogger("autobird")

_MAX_ATTEMPTS = 3
"""How often a job is started that never ended, because the server was killed meanwhile: perhaps the job is the reason."""

_CLEAN_SECONDS = 600.0
"""Time between two searches for finished jobs that are too old, seconds."""


class Jobs:
    """The jobs of a server; used by many threads at once.

    Jobs that were not finished when the server ended are computed again. An entry of the log is written for each that is done.

    Args:
        folder: folder of the state of the server (`--state`).
        compute: computes the recordings.
        limits: of the jobs.
        store: the log; None: none is kept.
        on_idle: called in the thread of the jobs when no job waits any more.
        clock: seconds since 1970 UTC.

    Raises:
        AutobirdError: the folder cannot be used, or another server uses it.
    """

    def __init__(
        self,
        folder: Path,
        compute: Computes,
        limits: JobLimits | None = None,
        store: Store | None = None,
        on_idle: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits or JobLimits()
        self._files = JobFolder(folder)
        self._compute, self._store, self._on_idle, self._clock = compute, store, on_idle, clock
        self._changed = threading.Condition(threading.RLock())
        self._jobs = {job.id: job for job in self._files.load()}
        self._reserved = 0
        self._decoded: dict[str, float] = {}
        self._closing = False
        for job in list(self._jobs.values()):
            self._recover(job)
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    @contextmanager
    def new(self) -> Iterator[NewJob]:
        """Yield a new job, whose upload the caller stores; without that, or after an error, nothing remains of it.

        Raises:
            TooManyJobs: there are too many jobs, or the disk has too little space.
        """
        self._reserve()
        number = None
        try:
            number, folder = self._files.begin()
            new = NewJob(number, folder, self._files)
            yield new
            if new.job:
                with self._changed:
                    self._jobs[number] = new.job
                    self._changed.notify()
        finally:
            with self._changed:
                self._reserved -= 1
            if number is not None:
                self._files.abandon(number)

    def listed(self) -> list[dict[str, Any]]:
        """Return what the API says about the jobs, the newest first."""
        with self._changed:
            return [self._shown(job) for job in reversed(self._jobs.values())]

    def get(self, number: str) -> Job | None:
        """Return a job; None if there is none with this id."""
        with self._changed:
            return self._jobs.get(number)

    def shown(self, number: str) -> dict[str, Any] | None:
        """Return what the API says about a job; None if there is none with this id."""
        with self._changed:
            job = self._jobs.get(number)
            return self._shown(job) if job else None

    def result(self, number: str) -> dict[str, Any] | None:
        """Return the result of a job that is done: `answer` (the JSON answer) and `band` (limits of the frequencies, Hz)."""
        found = self._files.result(number)
        with self._changed:
            job = self._jobs.get(number)
            if found is None or job is None or job.state != "done":
                return None
            if not job.is_fetched:
                self._set(replace(job, is_fetched=True))
        return found

    def remove(self, number: str) -> bool:
        """Cancel and remove a job; return whether there was one. A running one ends within about a second."""
        with self._changed:
            job = self._jobs.pop(number, None)
            # The thread of the jobs removes the files of a running one, when its process does not read them any more.
            if job is not None and job.state != "running":
                self._files.remove(number)
        return job is not None

    def close(self) -> None:
        """Stop the running job, which is computed again after the next start, and let another server use the folder."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._files.close()

    def _shown(self, job: Job) -> dict[str, Any]:
        waiting = [other.id for other in self._jobs.values() if not other.is_finished]
        position = waiting.index(job.id) if job.state == "queued" else None
        return job.shown(self._decoded.get(job.id, 0.0), position)

    def _reserve(self) -> None:
        """Count a job that is being uploaded; remove the oldest of the finished jobs whose result was fetched, if there are too many.

        Raises:
            TooManyJobs: there are too many others, or the disk has too little space.
        """
        if (free := self._files.free_bytes()) < self.limits.min_free_bytes:
            raise TooManyJobs(
                507, f"the disk of the server has only {free / 1e6:.0f} MB left; delete jobs, or free space"
            )
        with self._changed:
            while len(self._jobs) + self._reserved >= self.limits.max_jobs:
                fetched = next((job for job in self._jobs.values() if job.is_fetched or job.state == "failed"), None)
                if fetched is None:
                    raise TooManyJobs(
                        503,
                        f"there are {self.limits.max_jobs} jobs, as many as allowed, and no result of them was fetched; "
                        "fetch results, delete jobs, or try again later",
                    )
                del self._jobs[fetched.id]
                self._files.remove(fetched.id)
            self._reserved += 1

    def _set(self, job: Job) -> None:
        """Store the new state of a job, unless it was removed; hold the lock."""
        if job.id in self._jobs:
            self._jobs[job.id] = job
            try:
                self._files.save(job)
            except OSError as error:
                log.warning("the state of job %s cannot be written: %s", job.id, error)

    def _recover(self, job: Job) -> None:
        """Bring a job that was running when the server was killed into a state from which it goes on."""
        if job.is_finished:
            self._files.remove_upload(job.id)
        elif (result := self._files.result(job.id)) is not None:
            # It was computed, but perhaps not logged.
            self._finish(job, result, is_logged=self._is_logged(job.id))
        elif job.attempts >= _MAX_ATTEMPTS:
            self._fail(
                job,
                TaskProblem(
                    500,
                    "Internal error",
                    f"the server was ended {job.attempts} times while it classified the recording",
                ),
            )
        elif job.state == "running":
            with self._changed:
                self._set(replace(job, state="queued"))

    def _run(self) -> None:
        clean_at = 0.0
        while not self._closing:
            if time.monotonic() >= clean_at:
                self._remove_old()
                clean_at = time.monotonic() + _CLEAN_SECONDS
            job = self._next()
            if job is not None:
                self._compute_one(job)
                continue
            self._on_idle()
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closing or self._next() is not None, max(0.0, clean_at - time.monotonic())
                )
        self._on_idle()

    def _next(self) -> Job | None:
        with self._changed:
            return next((job for job in self._jobs.values() if job.state == "queued"), None)

    def _compute_one(self, job: Job) -> None:
        """Compute a job; afterwards it is finished, removed, or queued again."""
        running = replace(job, state="running", started=self._clock(), attempts=job.attempts + 1)
        with self._changed:
            self._set(running)

        def is_gone() -> bool:
            return self._closing or job.id not in self._jobs

        def note(seconds: float) -> None:
            self._decoded[job.id] = seconds

        try:
            task = Task(self._files.upload_of(job.id), job.name, job.options)
            answer = self._compute.submit(task, is_gone, "job", note)
            if isinstance(answer, TaskProblem):
                self._fail(running, answer)
            else:
                self._store_answer(running, answer)
        except ClientGone:  # removed, or the server stops
            self._put_back(job)
        except QueueFull as error:
            log.warning("a job waits: %s", error)
            self._put_back(job)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, error.retry_after)
        except OSError as error:
            log.warning("the job %s failed: %s", job.id, error)
            self._fail(
                running, TaskProblem(507, "Disk full", "the result could not be stored; free space on the server")
            )
        except Exception:
            log.exception("error while computing the job %s", job.id)
            self._fail(running, TaskProblem(500, "Internal error", "the job failed; see the server's messages"))
        with self._changed:
            self._decoded.pop(job.id, None)
            if job.id not in self._jobs:
                self._files.remove(job.id)

    def _store_answer(self, job: Job, answer: TaskAnswer) -> None:
        result = {
            "answer": answer.body,
            "band": list(self._compute.bundle().frequencies),
            "features": dict(answer.features),
            "seconds": dict(answer.seconds),
        }
        if job.id in self._jobs:
            # The result first: a job whose server is killed now is not computed again.
            self._files.save_result(job.id, result)
            self._finish(job, result)

    def _finish(self, job: Job, result: dict[str, Any], is_logged: bool = False) -> None:
        """Log the result of a job, and store that it is done."""
        body, number = result["answer"], None
        if self._store is not None and not is_logged:
            number = self._store.append(LogEntry.of_answer(body, result["features"], result["seconds"], job.id, "job"))
        with self._changed:
            self._set(job.done(self._clock(), body, number))
        self._files.remove_upload(job.id)

    def _fail(self, job: Job, problem: TaskProblem) -> None:
        with self._changed:
            self._set(job.failed(self._clock(), problem))
        self._files.remove_upload(job.id)

    def _put_back(self, job: Job) -> None:
        """Let a job wait again; an attempt that ended orderly is not counted."""
        with self._changed:
            self._set(replace(job, state="queued"))

    def _remove_old(self) -> None:
        oldest = self._clock() - self.limits.keep_days * 86400
        with self._changed:
            for job in list(self._jobs.values()):
                if job.finished is not None and job.finished < oldest:
                    del self._jobs[job.id]
                    self._files.remove(job.id)

    def _is_logged(self, number: str) -> bool:
        try:
            return self._store is not None and self._store.has_request(number)
        except Unavailable:
            return False
