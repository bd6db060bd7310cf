"""Settings of the batch prediction by the workflow."""

from pydantic import Field

from autobird.audio.settings import Name
from autobird.core.settings import Settings


class PredictSettings(Settings):
    """A folder of field recordings through a bundle, fanned out: `snakemake predict`."""

    input: str | None = Field(None, description="Folder of recordings, any depth.")
    bundle: str | None = Field(None, description="Folder of the bundle; unset: the one of this run.")
    name: Name = Field("predict", description="Folder of the answers: results/<run.name>/predict/<name>.")
    batches: int = Field(8, ge=1, le=1000, description="Jobs that share the recordings.")
