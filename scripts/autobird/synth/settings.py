"""Settings of the demo corpus."""

from pydantic import Field

from autobird.core.settings import Settings


class DemoSettings(Settings):
    """The demo corpus: recordings of invented species, synthesised from a seed."""

    species: int = Field(10, ge=2, le=200, description="Number of species.")
    recordings: int = Field(60, ge=3, le=10000, description="Number of recordings per species.")
    negatives: int = Field(
        60,
        ge=0,
        le=10000,
        description="Number of recordings of wind, rain, insects, traffic, speech, machines, handling and distant birds of other "
        "species: sound that holds none of the species.",
    )
    other_birds: int = Field(
        120,
        ge=0,
        le=10000,
        description="Number of recordings of birds of other species near the microphone: negatives that resemble the species most.",
    )
    seed: int = Field(
        7,
        ge=0,
        description="Seed of the random number generator; the same seed gives the same recordings, to the byte.",
    )


class DemoFieldSettings(Settings):
    """Synthesised field recordings of the demo's species by four recorders, and the boxes of all songs in them."""

    recordings: int = Field(
        32, ge=1, le=1000, description="Number of field recordings; each of the four recorders makes two a day."
    )
    seconds: float = Field(
        120.0,
        ge=10,
        le=300,
        description="Duration of a recording, seconds; that of the recorders differs from it by up to a fifth.",
    )
