"""What the routes of the web app use: the pool, the log, the jobs and the settings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autobird.serving.compute.requests import Pool
from autobird.serving.settings import ServeSettings

if TYPE_CHECKING:
    from autobird.serving.jobs.queue import Jobs
    from autobird.serving.review.desk import ReviewDesk
    from autobird.serving.store.store import Store


@dataclass(frozen=True)
class Services:
    """What each blueprint (`serving/api/`) is given by `create_app`.

    Attributes:
        pool: computes the answers.
        settings: options of the server.
        store: the log of predictions and the feedback; None: the server keeps no log.
        jobs: the queue of long recordings; None: the server takes none.
        review: the review of the model's answers for some recordings; None: the server has none.
    """

    pool: Pool
    settings: ServeSettings
    store: "Store | None" = None
    jobs: "Jobs | None" = None
    review: "ReviewDesk | None" = None
