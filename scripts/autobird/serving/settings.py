"""Settings of the server: options of `autobird serve`, not part of the configuration of a run."""

from pydantic import Field

from autobird.core.settings import Settings


class ServeSettings(Settings):
    """Address, limits and log of the server."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all network interfaces.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="Number of worker processes; one per CPU core is enough.")
    max_megabytes: float = Field(64.0, gt=0, description="Largest upload, MB.")
    max_seconds: float = Field(
        600.0, gt=0, description="Longest recording, seconds of decoded audio; a small compressed file can hold hours."
    )
    log: str | None = Field(
        None, description="SQLite file to which drift features and results are written; the drift test can read it."
    )
