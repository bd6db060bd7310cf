"""Settings of the server: options of `autobird serve`, not part of the configuration of a run."""

from pydantic import Field

from autobird.core.settings import Settings

MAX_WORKERS = 64
"""Largest number of worker processes."""


class ServeSettings(Settings):
    """Address, limits and log of the server."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all network interfaces."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 for any free port.")
    workers: int = Field(1, ge=1, le=MAX_WORKERS, description="Number of worker processes; one per CPU core is enough.")
    max_megabytes: float = Field(
        64.0, gt=0, le=4096, description="Largest upload, MB; each worker holds one in memory."
    )
    max_seconds: float = Field(
        600.0, gt=0, description="Longest recording, seconds of decoded audio; a small compressed file can hold hours."
    )
    backbone: str | None = Field(
        None,
        min_length=1,
        description="File of the pretrained network that the bundle needs; BirdNET is found without it if it is installed.",
    )
    log: str | None = Field(
        None,
        min_length=1,
        description="SQLite file to which drift features and results are written; the drift test can read it.",
    )
