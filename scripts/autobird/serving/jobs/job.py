"""A job and what the API says about it."""

import dataclasses
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from autobird.serving.compute.requests import TaskOptions, TaskProblem
from autobird.serving.store.store import utc

State = Literal["queued", "running", "done", "failed"]

FORMAT = 1
"""Version of the files of jobs. Jobs of other versions are removed when the server starts."""


@dataclass(frozen=True)
class JobLimits:
    """Limits of jobs.

    Attributes:
        max_bytes: largest upload.
        max_seconds: longest recording, seconds.
        max_values: largest number of decoded samples of all channels.
        max_jobs: largest number of jobs, finished ones included.
        keep_days: days for which finished jobs are kept.
        min_free_bytes: space that uploads leave free on the disk.
    """

    max_bytes: int = 4_000_000_000
    max_seconds: float = 86_400.0
    max_values: int = 66_355_200_000
    max_jobs: int = 100
    keep_days: float = 7.0
    min_free_bytes: int = 500_000_000


@dataclass(frozen=True)
class Job:
    """A job; a new value replaces the old one when its state changes.

    Attributes:
        id: random, so that it cannot be guessed.
        name: name of the file from the client, or "".
        size: of the upload, bytes.
        created: when it was uploaded, seconds since 1970 UTC.
        options: how the recording is classified.
        length: length of the recording as its header states it, seconds; None if unknown.
        state: `queued`, `running`, `done` or `failed`.
        started: when it was started for the last time, seconds since 1970 UTC; None if it was not.
        finished: when it ended, seconds since 1970 UTC.
        attempts: how often it was started and its server did not stop orderly meanwhile.
        duration: decoded length, seconds, once it is done.
        detections: number of detections, once it is done.
        prediction: id of its entry in the log, once it is done; None if it is not known.
        problem: status, title and detail, if it failed.
        is_fetched: whether its result was fetched.
    """

    id: str
    name: str
    size: int
    created: float
    options: TaskOptions = field(default_factory=TaskOptions)
    length: float | None = None
    state: State = "queued"
    started: float | None = None
    finished: float | None = None
    attempts: int = 0
    duration: float | None = None
    detections: int | None = None
    prediction: int | None = None
    problem: tuple[int, str, str] | None = None
    is_fetched: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether it will not be computed any more."""
        return self.state in ("done", "failed")

    def to_json(self) -> dict[str, Any]:
        """Return the content of its file."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Job":
        """Return the job of a file's content.

        Raises:
            ValueError, TypeError, KeyError: it is not one, or of another version.
        """
        if value.pop("format") != FORMAT:
            raise ValueError("another version")
        options = value.pop("options")
        species = options.pop("species")
        problem = value.pop("problem")
        return cls(
            **value,
            options=TaskOptions(species=None if species is None else tuple(species), **options),
            problem=None if problem is None else (int(problem[0]), str(problem[1]), str(problem[2])),
        )

    def done(self, finished: float, answer: dict[str, Any], prediction: int | None) -> "Job":
        """Return the job with its answer.

        Args:
            finished: seconds since 1970 UTC.
            answer: the JSON answer.
            prediction: number of its entry in the log; None: it has none.
        """
        found = len(answer["detections"])
        return replace(
            self, state="done", finished=finished, duration=answer["duration"], detections=found, prediction=prediction
        )

    def failed(self, finished: float, problem: TaskProblem) -> "Job":
        """Return the job with the reason why it has no answer."""
        return replace(self, state="failed", finished=finished, problem=(problem.status, problem.title, problem.detail))

    def shown(self, decoded: float, position: int | None) -> dict[str, Any]:
        """Return what the API says about it.

        Args:
            decoded: seconds of audio that are decoded so far.
            position: number of jobs that are computed before it; None if it does not wait.
        """
        share = 1.0 if self.state == "done" else None
        if self.state == "queued":
            share = 0.0
        elif self.state == "running" and self.length:
            share = round(min(decoded / self.length, 0.999), 3)
        return {
            "id": self.id,
            "file": self.name,
            "state": self.state,
            "progress": share,
            "decoded_seconds": round(self.duration if self.duration is not None else decoded, 1),
            "length": None if self.length is None else round(self.length, 1),
            "position": position,
            "bytes": self.size,
            "created": utc(self.created),
            "started": None if self.started is None else utc(self.started),
            "finished": None if self.finished is None else utc(self.finished),
            "duration": self.duration,
            "detections": self.detections,
            "problem": None
            if self.problem is None
            else dict(zip(("status", "title", "detail"), self.problem, strict=True)),
        }
