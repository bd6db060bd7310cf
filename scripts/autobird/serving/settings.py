"""Settings of the server: options of `autobird serve`, not part of the configuration of a run."""

from pydantic import Field

from autobird.core.settings import Settings

MAX_WORKERS = 64
"""Largest number of worker processes."""


class ServeSettings(Settings):
    """Address, limits, log, state and access of the server."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all network interfaces."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 for any free port.")
    workers: int = Field(1, ge=1, le=MAX_WORKERS, description="Number of worker processes; one per CPU core is enough.")
    queue: int = Field(
        64, ge=1, le=10_000, description="Largest number of waiting requests; further ones get status 503."
    )
    queue_windows: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="With a backbone: largest number of its windows that waiting requests need; further requests get status 503.",
    )
    time_limit: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="Longest time to classify a recording, seconds; by default it follows from max_seconds.",
    )
    header_seconds: float = Field(
        20.0, gt=0, le=3600, description="Time that a client has for the headers of a request, seconds."
    )
    body_seconds: float = Field(
        300.0, gt=0, le=86_400, description="Time that a client has for the body of a request, seconds."
    )
    max_megabytes: float = Field(
        64.0, gt=0, le=4096, description="Largest upload, MB; all files of a request together."
    )
    max_seconds: float = Field(
        600.0, gt=0, description="Longest recording, seconds of decoded audio; a small compressed file can hold hours."
    )
    max_values: int = Field(
        460_800_000,
        ge=1_000_000,
        le=1_000_000_000_000,
        description="Largest number of decoded samples of all channels of a recording; 600 s of stereo at 384 kHz are 460,800,000.",
    )
    max_files: int = Field(32, ge=1, le=64, description="Largest number of recordings of a request.")
    backbone: str | None = Field(
        None,
        min_length=1,
        description="File of the pretrained network that the bundle needs; BirdNET is found without it if it is installed.",
    )
    backbone_threads: int = Field(
        1,
        ge=1,
        le=MAX_WORKERS,
        description="Windows of the backbone that are computed at the same time; one per CPU core is enough.",
    )
    shadow: str | None = Field(
        None,
        min_length=1,
        description="Folder of a second bundle, which classifies the same recordings; its answers are only logged.",
    )
    state: str | None = Field(
        None, min_length=1, description="Folder for jobs, their uploads and results, and temporary files."
    )
    max_job_megabytes: float = Field(4096.0, gt=0, le=1_000_000, description="Largest upload of a job, MB.")
    max_job_seconds: float = Field(
        86_400.0, gt=0, le=1_000_000, description="Longest recording of a job, seconds of decoded audio."
    )
    max_jobs: int = Field(100, ge=1, le=100_000, description="Largest number of jobs, finished ones included.")
    job_days: float = Field(7.0, gt=0, le=36_500, description="Days for which finished jobs are kept.")
    log: str | None = Field(
        None,
        min_length=1,
        description="SQLite file, or postgresql:// URL, to which drift features and results are written; the drift test can read it.",
    )
    keep_days: float | None = Field(
        None, gt=0, le=36_500, description="Days for which entries of the log are kept; by default for ever."
    )
    keys: str | None = Field(None, min_length=1, description="File of API keys, without which the API cannot be used.")
    allow_host: tuple[str, ...] = Field(
        (), description="Further host names of the server; * for all. Addresses and localhost are always allowed."
    )
    allow_origin: tuple[str, ...] = Field(
        (), description="Origins of pages of other sites that may use the API, for example https://example.org."
    )
