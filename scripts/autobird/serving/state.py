"""Open and close what the server keeps: the log (`--log`) and the jobs (`--state`)."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from autobird.serving.compute.embeddings import Embeddings
from autobird.serving.jobs.compute import JobProcess
from autobird.serving.jobs.job import JobLimits
from autobird.serving.jobs.queue import Jobs
from autobird.serving.settings import ServeSettings
from autobird.serving.store.store import Store, backend_of


@contextmanager
def opened_state(
    bundle: Path, settings: ServeSettings, embeddings: Embeddings | None = None
) -> Iterator[tuple[Store | None, Jobs | None]]:
    """Open the log and the jobs of a server, and close them at the end; None where the settings name none.

    Use it before the compute processes are started, so that a log or folder that cannot be used is reported at once.

    Args:
        bundle: folder of the bundle that computes the jobs.
        settings: options of the server.
        embeddings: the embedding processes, which the pool starts; None: the process of the jobs loads the backbone.

    Raises:
        AutobirdError: the log or the folder cannot be used.
    """
    with ExitStack() as stack:
        store, jobs = None, None
        if settings.log:
            store = Store(backend_of(settings.log), settings.keep_days)
            stack.callback(store.close)
        if settings.state:
            process = JobProcess(bundle, settings.backbone, embeddings)
            jobs = Jobs(Path(settings.state), process, job_limits(settings), store, process.idle)
            stack.callback(jobs.close)
        yield store, jobs


def job_limits(settings: ServeSettings) -> JobLimits:
    """Return the limits of jobs; of samples as many a second as requests may have."""
    return JobLimits(
        max_bytes=int(settings.max_job_megabytes * 1e6),
        max_seconds=settings.max_job_seconds,
        max_values=int(settings.max_values * max(1.0, settings.max_job_seconds / settings.max_seconds)),
        max_jobs=settings.max_jobs,
        keep_days=settings.job_days,
    )
