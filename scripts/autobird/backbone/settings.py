"""Settings of the backbone: the pretrained network whose embeddings a run uses."""

from typing import Self

from pydantic import Field, model_validator

from autobird.audio.settings import Name
from autobird.core.settings import Settings

_FIXED = ("sample_rate", "window", "input", "output", "peak", "licence", "source")
"""Settings that the published file of BirdNET determines."""


class BackboneSettings(Settings):
    """A pretrained network that turns sound into embeddings. Only runs that use embeddings need it."""

    name: Name = Field(
        "birdnet-2.4",
        description="`birdnet-2.4`: BirdNET 2.4, whose file `make birdnet` installs (CC BY-NC-SA 4.0); `perch-2`: Perch v2, of which "
        "you give the file; any other name: your own file, with the keys below. The embeddings are in the folder "
        "`results/features/<features.name>/embeddings/<backbone.name>`.",
    )
    file: str | None = Field(
        None,
        description="The network, an ONNX or TFLite file (`.onnx`, `.tflite`). `birdnet-2.4` is found without it.",
    )
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Expected checksum of `file`; another file is refused. It is recorded in any case.",
    )
    sample_rate: int | None = Field(
        None, ge=2000, le=192000, description="Sampling rate of the network's input, Hz. Known for the names above."
    )
    window: float | None = Field(
        None, gt=0, le=60, description="Length of the network's input, seconds. Known for the names above."
    )
    input: str | None = Field(
        None, description="Name of the network's input; unset: its only input. The input holds samples from -1 to 1."
    )
    output: str | None = Field(
        None, description="Name of the output that is the embedding; unset: its only output with two dimensions."
    )
    peak: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The mean of each input window is removed and its largest absolute sample scaled to this value, as Perch "
        "expects (0.25, known for `perch-2`); unset: the samples are not changed.",
    )
    licence: str | None = Field(
        None,
        description="Licence of the network, for example `CC BY 4.0` or `Apache-2.0`; the card of a model that uses it names it.",
    )
    source: str | None = Field(
        None, description="Where the network comes from: a web page or a citation; named in the card."
    )
    heard_until: int | None = Field(
        None,
        ge=0,
        description="Highest number of xeno-canto among the recordings that the network was trained on. Test recordings up to it are "
        "reported as possibly heard before. Unset: 694204 for `birdnet-2.4`, which its author states; unknown for others.",
    )

    @model_validator(mode="after")
    def _file_described(self) -> Self:
        if self.name == "birdnet-2.4":
            for key in _FIXED:
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"{key} is set to {getattr(self, key)!r}, but it is fixed for birdnet-2.4; remove it, or choose another name for "
                        "another file"
                    )
        if self.name in ("birdnet-2.4", "perch-2"):
            return self
        for key in ("file", "sample_rate", "window", "licence"):
            if getattr(self, key) is None:
                raise ValueError(
                    f"{key} is not set, and {self.name!r} is not a name that Autobird knows (birdnet-2.4, perch-2); set "
                    "file, sample_rate, window and licence, or use one of these names"
                )
        return self
