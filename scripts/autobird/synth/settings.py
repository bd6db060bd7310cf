"""Settings of the synthesised demo corpus."""

from pydantic import Field

from autobird.core.settings import Settings


class DemoSettings(Settings):
    """The embedded corpus, synthesised from a seed."""

    species: int = Field(10, ge=2, le=200, description="Number of species.")
    recordings: int = Field(60, ge=3, le=10000, description="Recordings of each species.")
    seed: int = Field(
        7, ge=0, description="Seed of grammars, individuals and scenes; the same seed gives the same bytes."
    )
