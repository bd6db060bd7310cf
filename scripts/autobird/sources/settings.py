"""Settings of the sources: where recordings come from, and what is known about them."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from autobird.core.settings import Settings
from autobird.synth.settings import DemoSettings

XENO_CANTO_HOST = "xeno-canto.org"

CREATIVE_COMMONS = ("CC0", "BY", "BY-SA", "BY-NC", "BY-NC-SA", "BY-ND", "BY-NC-ND")
"""The licences of Creative Commons, from the freest to the strictest."""


class ColumnSettings(Settings):
    """Names of the columns in a table of recordings; a column that is not there leaves its values unknown."""

    file: str = Field("file", description="Path of the recording, relative to the root, with `/`.")
    url: str = Field("url", description="Where to download the recording from (type `table`, instead of a path).")
    species: str = Field("species", description="Name of the species (type `table`).")
    id: str = Field(
        "id", description="Name by which the recording is known (type `table`); without it, its path or URL is."
    )
    start: str = Field("start", description="Where the recording begins in its file, seconds (type `table`).")
    end: str = Field("end", description="Where it ends, seconds (type `table`).")
    sha256: str = Field("sha256", description="sha256 of the file; another content is quarantined (type `table`).")
    recordist: str = Field("recordist", description="Who recorded it.")
    date: str = Field("date", description="Day of the recording, YYYY-MM-DD.")
    time: str = Field("time", description="Time of day.")
    place: str = Field("location", description="Where it was recorded, in words.")
    latitude: str = Field("latitude", description="Latitude, degrees; `lat` is found too.")
    longitude: str = Field("longitude", description="Longitude, degrees; `lon` is found too.")
    split: str = Field("split", description="`train`, `validation` or `test`: a split that was decided elsewhere wins.")
    licence: str = Field("licence", description="Licence of the recording: a URL or a name; `license` is found too.")
    quality: str = Field("quality", description="Quality as graded by people, for example A to E.")
    number: str = Field("xc_id", description="Number in xeno-canto, as XC123.")
    background: str = Field("background_species", description="Species heard in the background, separated by commas.")


class AnnotationSettings(Settings):
    """Boxes that people drew around songs (type `annotations`)."""

    format: Literal["auto", "raven", "audacity", "csv"] = Field(
        "auto",
        description="`raven`: selection tables (.txt, tab-separated, with a header); `audacity`: label tracks (.txt, no header); "
        "`csv`: file, start, end, label; `auto`: told from each table's first line.",
    )
    table: str | None = Field(
        None,
        description="One table for all recordings (CSV with a column of files, or Raven's with Begin File). Without it, each "
        "recording's table lies beside it and begins with its name.",
    )
    label: str = Field(
        "auto",
        description="Column of the label. `auto`: the first there is of species, label, manual id, annotation, class, code, scientific "
        "name, common name.",
    )
    species: str = Field(
        "",
        description="Label of every box without a label, for a survey of one species whose tables have no column of labels.",
    )


class FetchSettings(Settings):
    """How a server is asked (stage `download`)."""

    interval: float = Field(1.0, ge=0, description="Seconds between two requests; xeno-canto allows one a second.")
    patience: float = Field(
        300.0, ge=1, description="How long a server that does not answer is tried again before the job fails, seconds."
    )


class XenoCantoSettings(Settings):
    """Recordings of xeno-canto (type `xeno_canto`); the key is taken from XENO_CANTO_KEY in the environment."""

    query: str = Field("", description='What to list, in xeno-canto\'s tags: `cnt:"Poland" grp:birds q:A`.')
    species: tuple[str, ...] = Field((), description="Binomials to list, each together with `query`.")
    quality: tuple[str, ...] = Field((), description="Grades to keep, for example [A, B]; empty keeps all.")
    min_length: float = Field(0.0, ge=0, description="Shorter recordings are not downloaded, seconds.")
    max_length: float = Field(3600.0, gt=0, description="Longer recordings are not downloaded, seconds.")
    no_background: bool = Field(False, description="Keep only recordings without species in the background.")
    max_per_species: int | None = Field(
        None, ge=1, description="At most so many a species: the best grades first, then by a stable hash."
    )
    api: str = Field(
        f"https://{XENO_CANTO_HOST}/api/3/recordings", description="Address of the API, version 3; for stand-ins."
    )
    per_page: int = Field(500, ge=50, le=500, description="Recordings in one answer of the API.")

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.min_length >= self.max_length:
            raise ValueError(
                f"min_length {self.min_length:g} s is not below max_length {self.max_length:g} s; lower it"
            )
        return self


class KaggleSettings(Settings):
    """A data set of Kaggle's (type `kaggle`): a folder or zip named by `corpus.root`, else downloaded by kagglehub."""

    dataset: str = Field(
        "soumendraprasad/sound-of-114-species-of-birds-till-2022", description="Owner and name of the data set."
    )
    version: int = Field(1, ge=1, description="Version of the data set; another one is another corpus.")


class LicenceSettings(Settings):
    """What licences allow. An unknown licence counts as the strictest, BY-NC-ND."""

    train: tuple[str, ...] = Field(
        CREATIVE_COMMONS,
        description="Licences to train on: families of Creative Commons, or other licences word for word.",
    )
    redistribute: tuple[str, ...] = Field(
        CREATIVE_COMMONS[:5],
        description="Licences under which shards and excerpts may be passed on. No derivatives (ND) forbids it.",
    )


class SourceSettings(Settings):
    """Where recordings come from, and which of them may be used."""

    type: Literal["demo", "folder", "table", "annotations", "xeno_canto", "kaggle", "url"] = Field(
        "demo",
        description="`demo`: synthesised, no downloads; `folder`: <root>/<Species name>/<any depth>/<file>; `table`: a CSV, TSV or "
        "parquet table of paths or URLs; `annotations`: recordings with tables of boxes; `xeno_canto`; `kaggle`; `url`: a "
        "folder in a bucket, as gs://bucket/birds, laid out like `folder`.",
    )
    root: str | None = Field(
        None,
        description="Folder of the recordings (`folder`, `annotations`; `table`: what paths are relative to, if not the table's "
        "folder; `kaggle`: the folder or zip, if it is there already), or their URL (`url`).",
    )
    table: str | None = Field(None, description="The table of recordings (type `table`).")
    metadata: str = Field(
        "auto",
        description="CSV table about the recordings, relative to the root. `auto`: SOURCES.csv or metadata.csv if there; "
        "`none`: no table.",
    )
    columns: ColumnSettings = Field(ColumnSettings(), description="Names of the table's columns.")
    species_suffix: str = Field(
        "", description="Removed from the end of each species folder's name (`_sound` in the Kaggle corpus)."
    )
    unknown_species: tuple[str, ...] = Field(
        ("", "unknown", "Mystery mystery", "Sonus naturalis"),
        description="Labels that name no species; their recordings are quarantined.",
    )
    batches: int = Field(
        8,
        ge=1,
        le=1000,
        description="Recordings fall into so many batches by a stable hash of their id; a job works on one.",
    )
    lock: str = Field(
        "config/sources.lock.jsonl",
        description="What a remote source holds (`xeno_canto`, `url`), kept in git; `snakemake refresh_sources` renews it.",
    )
    fetch: FetchSettings = Field(FetchSettings(), description="How servers are asked.")
    licences: LicenceSettings = Field(LicenceSettings(), description="What licences allow.")
    take_down: str | None = Field(
        None,
        description="CSV table of what must not be used: kind (`id`, `recordist` or `sha256`) and value.",
    )
    demo: DemoSettings = Field(DemoSettings(), description="The embedded corpus (type `demo`).")
    annotations: AnnotationSettings = Field(AnnotationSettings(), description="Boxes (type `annotations`).")
    xeno_canto: XenoCantoSettings = Field(XenoCantoSettings(), description="Recordings of xeno-canto.")
    kaggle: KaggleSettings = Field(KaggleSettings(), description="A data set of Kaggle's.")

    @model_validator(mode="after")
    def _source_is_named(self) -> Self:
        if self.type in ("folder", "annotations", "url") and not self.root:
            what = "the folder that holds one folder per species" if self.type != "annotations" else "their folder"
            raise ValueError(f"type {self.type} needs root, {what}; set corpus.root")
        if self.type == "url" and "://" not in (self.root or ""):
            raise ValueError(f"root {self.root!r} is no URL; give one as gs://bucket/birds, or use type folder")
        if self.type == "table" and not self.table:
            raise ValueError("type table needs table, the CSV, TSV or parquet file of recordings; set corpus.table")
        if self.type == "xeno_canto" and not (self.xeno_canto.query or self.xeno_canto.species):
            raise ValueError("type xeno_canto needs xeno_canto.query or xeno_canto.species")
        host = urlsplit(self.xeno_canto.api).hostname or ""
        if self.type == "xeno_canto" and self.fetch.interval < 1 and host.endswith(XENO_CANTO_HOST):
            raise ValueError(
                f"fetch.interval {self.fetch.interval:g} s is below the one second that xeno-canto asks for; raise it"
            )
        return self
