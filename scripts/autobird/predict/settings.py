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
    species: str | None = Field(
        None,
        description="Text file with the species to report, one name per line: as in the bundle, scientific or common; unset: all.",
    )
    names: str | None = Field(
        None, description="CSV table of other names for `species`; each row holds the names of one species."
    )
    codes: str | None = Field(
        None, description="CSV table of species codes, for example the eBird taxonomy: adds the column `code`."
    )
    latitude: float | None = Field(
        None,
        ge=-90,
        le=90,
        description="Latitude of the recordings, degrees: adds the column `occurrence`, by the location model of BirdNET.",
    )
    longitude: float | None = Field(None, ge=-180, le=180, description="Longitude of the recordings, degrees.")
    week: int | None = Field(
        None,
        ge=-1,
        le=48,
        description="Week of the year, 1 to 48 (four per month), or -1 for the whole year; unset: that of each recording's date.",
    )
    min_occurrence: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Leave out species that occur less often at this place and time; BirdNET-Analyzer uses 0.03. Unset: none are left out.",
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

    @model_validator(mode="after")
    def _names_need_species(self) -> "PredictSettings":
        if self.names is not None and self.species is None:
            raise ValueError("names needs species: it gives other names of the species in the list")
        return self

    @model_validator(mode="after")
    def _one_place(self) -> "PredictSettings":
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude belong together; give both")
        if self.latitude is None and (self.week is not None or self.min_occurrence is not None):
            raise ValueError("week and min_occurrence need latitude and longitude")
        if self.week == 0:
            raise ValueError("week 0 does not exist; give 1 to 48, or -1 for the whole year")
        return self
