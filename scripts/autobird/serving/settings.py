"""Settings of the server; given on the command line of `autobird serve`, never part of a run."""

from pydantic import Field

from autobird.core.settings import Settings


class ServeSettings(Settings):
    """How the server answers."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="Processes that answer; one a core.")
    max_megabytes: float = Field(64.0, gt=0, description="Largest upload, MB.")
    max_seconds: float = Field(
        600.0, gt=0, description="Longest recording, seconds of decoded sound; a small file may hold hours."
    )
    timeout: int = Field(120, ge=1, description="A request that takes longer is ended, seconds.")
    log: str | None = Field(
        None, description="SQLite file for inputs' features and outputs, which the drift report reads."
    )
