"""Settings of the batch prediction (`snakemake predict`)."""

from typing import Literal

from pydantic import Field, model_validator

from autobird.audio.settings import Name
from autobird.core.settings import Settings
from autobird.core.time_zones import parse_time_zone


class PredictSettings(Settings):
    """Classification of a folder of recordings in parallel jobs: `snakemake predict`."""

    input: str | None = Field(None, description="Folder of the recordings to classify; subfolders are included.")
    bundle: str | None = Field(
        None, description="Folder of the bundle (the released model) to use; unset: the bundle of this run."
    )
    name: Name = Field("predict", description="Name of the folder of the results: results/<run.name>/predict/<name>.")
    site: Literal["auto", "folder", "name", "recorder", "none"] = Field(
        "auto",
        description="Name of the site in the tables: its folder (`folder`), the text before the time in the file name (`name`), or the "
        "recorder (`recorder`); `auto`: the folder, otherwise the text in the file name.",
    )
    time_zone: str = Field(
        "",
        description="Time zone of the times in the tables, for example `Europe/Berlin` or `+02:00`; empty: that of the recorder's clock.",
    )
    recorder_clock: str = Field(
        "",
        description="Time zone of the recorders' clocks where neither names nor headers state it; empty: `time_zone`.",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Threshold of all species, a probability; unset: that of each species in the bundle.",
    )
    precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Use the thresholds that reached this precision on validation recordings; species that did not reach it are not "
        "reported. Unset: the thresholds of the bundle.",
    )
    batches: int = Field(8, ge=1, le=1000, description="Number of jobs that the recordings are divided into.")

    @model_validator(mode="after")
    def _time_zones_exist(self) -> "PredictSettings":
        for zone in (self.time_zone, self.recorder_clock):
            if zone:
                parse_time_zone(zone)
        return self

    @model_validator(mode="after")
    def _one_kind_of_threshold(self) -> "PredictSettings":
        if self.threshold is not None and self.precision is not None:
            raise ValueError("threshold and precision cannot be used together; leave out one of them")
        return self
