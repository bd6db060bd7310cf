"""Settings of the batch prediction (`snakemake predict`)."""

from pydantic import Field

from autobird.audio.settings import Name
from autobird.core.settings import Settings


class PredictSettings(Settings):
    """Classification of a folder of recordings in parallel jobs: `snakemake predict`."""

    input: str | None = Field(None, description="Folder of the recordings to classify; subfolders are included.")
    bundle: str | None = Field(
        None, description="Folder of the bundle (the released model) to use; unset: the bundle of this run."
    )
    name: Name = Field("predict", description="Name of the folder of the results: results/<run.name>/predict/<name>.")
    batches: int = Field(8, ge=1, le=1000, description="Number of jobs that the recordings are divided into.")
