"""Settings of the sources that are listed on a server, and of the requests to it."""

from typing import Self

from pydantic import Field, model_validator

from autobird.core.settings import Settings

XENO_CANTO_HOST = "xeno-canto.org"


class FetchSettings(Settings):
    """Requests to servers (stages `refresh_sources` and `download`)."""

    interval: float = Field(
        1.0, ge=0, description="Minimum time between two requests, seconds; xeno-canto allows one request per second."
    )
    retry_seconds: float = Field(
        300.0,
        ge=1,
        description="Time for which requests to a server that does not respond are repeated before the job fails, seconds.",
    )


class XenoCantoSettings(Settings):
    """Recordings of xeno-canto (type `xeno_canto`). The API key is read from the environment variable XENO_CANTO_KEY."""

    query: str = Field(
        "", description='Search query with xeno-canto\'s tags, for example `cnt:"Poland" grp:birds q:A`.'
    )
    species: tuple[str, ...] = Field(
        (), description="Scientific names of species; each is searched for separately, together with `query`."
    )
    quality: tuple[str, ...] = Field(
        (), description="Quality grades to use, for example [A, B]; empty: all recordings, graded or not."
    )
    min_length: float = Field(
        0.0, ge=0, description="Minimum length of a recording, seconds; shorter ones are not used."
    )
    max_length: float = Field(
        3600.0, gt=0, description="Maximum length of a recording, seconds; longer ones are not used."
    )
    no_background: bool = Field(
        False, description="Use only recordings for which xeno-canto lists no species in the background."
    )
    max_per_species: int | None = Field(
        None,
        ge=1,
        description="Maximum number of recordings per species: best grades first, within a grade by a stable hash.",
    )
    api: str = Field(
        f"https://{XENO_CANTO_HOST}/api/3/recordings",
        description="Address of the API (version 3); tests use another one.",
    )
    per_page: int = Field(500, ge=50, le=500, description="Number of recordings per response of the API.")

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.min_length >= self.max_length:
            raise ValueError(
                f"min_length {self.min_length:g} s is not below max_length {self.max_length:g} s; lower it"
            )
        return self


class KaggleSettings(Settings):
    """A Kaggle data set (type `kaggle`): a folder or zip at `corpus.root`; if that is not set, kagglehub downloads it."""

    dataset: str = Field(
        "soumendraprasad/sound-of-114-species-of-birds-till-2022",
        description="Owner and name of the data set on Kaggle, separated by `/`.",
    )
    version: int = Field(1, ge=1, description="Version of the data set.")
