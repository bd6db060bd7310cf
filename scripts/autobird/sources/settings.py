"""Settings of the sources: where recordings come from, how their metadata is read, and which of them may be used."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from autobird.core.settings import Settings
from autobird.sources.remote.settings import XENO_CANTO_HOST, FetchSettings, KaggleSettings, XenoCantoSettings
from autobird.synth.settings import DemoSettings

CREATIVE_COMMONS = ("CC0", "BY", "BY-SA", "BY-NC", "BY-NC-SA", "BY-ND", "BY-NC-ND")
"""The licence families of Creative Commons, from the freest to the strictest."""


class ColumnSettings(Settings):
    """Names of the columns in a table of recordings. Where the table lacks a column, its values count as missing."""

    file: str = Field("file", description="Column with the path of the recording, relative to the root, with `/`.")
    url: str = Field("url", description="Column with the URL of the recording, instead of a path (type `table`).")
    species: str = Field("species", description="Column with the name of the species (type `table`).")
    id: str = Field(
        "id",
        description="Column with the id of the recording (type `table`). The default id is the path of the file, or of the URL.",
    )
    start: str = Field(
        "start", description="Column with the start of the recording in its file, seconds (type `table`)."
    )
    end: str = Field("end", description="Column with the end of the recording in its file, seconds (type `table`).")
    sha256: str = Field(
        "sha256",
        description="Column with the sha256 checksum of the file; a file with another one is quarantined (type `table`).",
    )
    recordist: str = Field("recordist", description="Column with the name of the recordist.")
    date: str = Field("date", description="Column with the date of the recording, YYYY-MM-DD.")
    time: str = Field("time", description="Column with the time of day.")
    place: str = Field("location", description="Column with the name of the place.")
    latitude: str = Field("latitude", description="Column with the latitude, degrees; `lat` is accepted too.")
    longitude: str = Field("longitude", description="Column with the longitude, degrees; `lon` is accepted too.")
    split: str = Field(
        "split",
        description="Column with a given split (`train`, `validation` or `test`; `training`, `val`, `valid` and `testing` are "
        "accepted too), which replaces the assigned one.",
    )
    licence: str = Field(
        "licence", description="Column with the licence, as a URL or a name; `license` is accepted too."
    )
    quality: str = Field("quality", description="Column with the quality grade, for example A to E.")
    number: str = Field("xc_id", description="Column with the catalogue number in xeno-canto, for example XC123.")
    background: str = Field(
        "background_species", description="Column with the species in the background, separated by commas."
    )
    common_name: str = Field(
        "common_name",
        description="Column with another name of the recording's species. Background species may be written with it; `english_name` is "
        "accepted too.",
    )


class AnnotationSettings(Settings):
    """Tables of annotation boxes: time intervals in which somebody marked a species (type `annotations`)."""

    format: Literal["auto", "raven", "audacity", "csv"] = Field(
        "auto",
        description="`raven`: Raven selection tables (.txt, tab-separated, with a header); `audacity`: Audacity label tracks "
        "(.txt, no header); `csv`: columns file, start, end, label; `auto`: recognised by each table's first line.",
    )
    table: str | None = Field(
        None,
        description="One table for all recordings (CSV with a column of files, or Raven with Begin File). Not set: all tables "
        "below the root. The name of a table begins with that of its recording (dawn.wav, dawn.Table.1.selections.txt), or its "
        "rows name their files.",
    )
    label: str = Field(
        "auto",
        description="Column with the label. `auto`: the first column found of species, label, manual id, annotation, class, code, "
        "scientific name, common name, species name, tag, species code.",
    )
    species: str = Field(
        "",
        description="Species of the boxes without a label, for a survey of one species whose tables have no column of labels.",
    )


class LicenceSettings(Settings):
    """Uses that licences allow. An unknown licence is treated as the strictest one, BY-NC-ND."""

    train: tuple[str, ...] = Field(
        CREATIVE_COMMONS,
        description="Recordings under these licences may be used for training: families of Creative Commons (CC0, BY, "
        "BY-NC-SA, ...), or the exact text of another licence.",
    )
    redistribute: tuple[str, ...] = Field(
        CREATIVE_COMMONS[:5],
        description="Audio and spectrograms made from recordings under these licences may be passed on. The default "
        "leaves out the licences that forbid derivatives (ND).",
    )


SourceType = Literal["demo", "folder", "table", "annotations", "reviews", "xeno_canto", "kaggle", "url"]


class OneSourceSettings(Settings):
    """Where the recordings of one source come from."""

    type: SourceType = Field(
        "demo",
        description="`demo`: synthesised recordings of invented species, no download; `folder`: "
        "`<root>/<Species name>/<any depth>/<file>`; `table`: a CSV, TSV or parquet table of paths or URLs; `annotations`: "
        "recordings with tables of annotation boxes; `reviews`: windows that were reviewed with `autobird review`; "
        "`xeno_canto`: recordings of xeno-canto; `kaggle`: a Kaggle data set; `url`: a folder in a bucket, for example "
        "gs://bucket/birds, with the layout of `folder`.",
    )
    root: str | None = Field(
        None,
        description="Folder of the recordings (`folder`, `annotations`); URL of that folder (`url`); folder to which paths "
        "are relative, by default that of the table (`table`); folder or zip of the data set (`kaggle`).",
    )
    table: str | None = Field(
        None, description="Path of the table of recordings (type `table`), or of reviews.csv (type `reviews`)."
    )
    recordings: str | None = Field(None, description="Folder of the reviewed recordings (type `reviews`).")
    metadata: str = Field(
        "auto",
        description="CSV table with metadata of the recordings, relative to the root. `auto`: SOURCES.csv or "
        "metadata.csv, if there is one; `none`: no table.",
    )
    columns: ColumnSettings = Field(
        ColumnSettings(), description="Names of the columns in the table of recordings or metadata."
    )
    species_suffix: str = Field(
        "",
        description="Text that is removed from the end of each species folder's name (`_sound` in the default Kaggle data set).",
    )
    empty_species: Literal["negative", "unknown"] = Field(
        "negative",
        description="What a row without a species is in a table of recordings (type `table`): `negative`, a recording that holds no "
        "species, or `unknown`, a recording whose label is missing and which is quarantined.",
    )
    lock: str = Field(
        "config/sources.lock.jsonl",
        description="Lock file that lists the recordings of a remote source (`xeno_canto`, `url`); keep it in git. "
        "`snakemake refresh_sources` updates it.",
    )
    demo: DemoSettings = Field(DemoSettings(), description="The demo corpus (type `demo`).")
    annotations: AnnotationSettings = Field(AnnotationSettings(), description="Tables of annotation boxes.")
    xeno_canto: XenoCantoSettings = Field(XenoCantoSettings(), description="Recordings of xeno-canto.")
    kaggle: KaggleSettings = Field(KaggleSettings(), description="A Kaggle data set.")

    @property
    def lock_file(self) -> Path:
        """Path of the lock file."""
        return Path(self.lock)

    @property
    def section(self) -> str | None:
        """Text before the keys of this source in messages; None if other settings describe the sources."""
        return ""

    @model_validator(mode="after")
    def _source_is_named(self) -> Self:
        section = self.section
        if section is None:
            return self
        if self.type in ("folder", "annotations", "url") and not self.root:
            contents = "one folder per species" if self.type != "annotations" else "the recordings"
            raise ValueError(f"type {self.type} needs root, the folder that holds {contents}; set {section}root")
        if self.type == "url" and "://" not in (self.root or ""):
            raise ValueError(f"root {self.root!r} is not a URL; give one like gs://bucket/birds, or use type folder")
        if self.type == "table" and not self.table:
            raise ValueError(f"type table needs table, the CSV, TSV or parquet file of recordings; set {section}table")
        if self.type == "reviews" and not (self.table and self.recordings):
            raise ValueError(
                f"type reviews needs table, the reviews.csv of autobird review, and recordings, the folder of the reviewed recordings; set "
                f"{section}table and {section}recordings"
            )
        if self.type == "xeno_canto" and not (self.xeno_canto.query or self.xeno_canto.species):
            raise ValueError("type xeno_canto needs xeno_canto.query or xeno_canto.species; set one of them")
        return self


class NamedSourceSettings(OneSourceSettings):
    """One of several sources of a run."""

    name: str = Field(
        min_length=1,
        max_length=40,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        description="Name of the source. The ids of its recordings begin with it: `<name>/<id>`.",
    )
    type: SourceType = Field(description="As `corpus.type`.")
    lock: str = Field("", description="As `corpus.lock`; by default config/sources.<name>.lock.jsonl.")
    negative: bool = Field(
        False, description="Whether all recordings of the source are negatives, at any depth below its folder."
    )
    split: Literal["train", "validation", "test"] | None = Field(
        None, description="Split of all recordings of the source; it replaces those in the metadata."
    )

    @property
    def lock_file(self) -> Path:
        """Path of the lock file."""
        return Path(self.lock or f"config/sources.{self.name}.lock.jsonl")

    @model_validator(mode="after")
    def _kind_fits_type(self) -> Self:
        if self.negative and self.type in ("annotations", "reviews"):
            raise ValueError(f"negative: true contradicts type {self.type}, which names species; use type folder")
        return self


class NegativeNameSettings(Settings):
    """Labels of recordings that hold no species."""

    negative_names: tuple[str, ...] = Field(
        (
            "noise", "background", "background noise", "other", "others", "silence", "none", "nothing", "negative", "negatives",
            "no bird", "no birds", "nobird", "non bird", "nonbird", "no call", "nocall",
        ),
        description="Labels of recordings that hold no species: names of species folders, or values in the column of species. Such "
        "recordings are negatives; they are never a species. Case, spaces, underscores and hyphens are ignored. A name that is also "
        "in `unknown_species` is unknown.",
    )  # fmt: skip


class SourceSettings(OneSourceSettings, NegativeNameSettings):
    """Where recordings come from, and which of them may be used."""

    sources: tuple[NamedSourceSettings, ...] = Field(
        (),
        description="Several sources in one run, instead of the one that the settings above describe. Each has a `name`, a `type` and "
        "those of the settings above that its type needs (`root`, `table`, `recordings`, `metadata`, `columns`, `species_suffix`, "
        "`empty_species`, `lock`, `demo`, `annotations`, `xeno_canto`, `kaggle`); `negative: true` makes all its recordings negatives, and "
        "`split: train`, `validation` or `test` assigns all of them to a split. The ids of its recordings begin with its name.",
    )
    negatives: str | None = Field(
        None,
        min_length=1,
        description="Folder of recordings that hold no species of the corpus, at any depth, for example noise of the places where the "
        "classifier will be used. A metadata table in it is read (SOURCES.csv or metadata.csv). Their ids begin with `negatives/`.",
    )
    unknown_species: tuple[str, ...] = Field(
        ("", "unknown", "unidentified", "NA", "N/A", "NaN", "null", "?", "Mystery mystery", "Sonus naturalis"),
        description="Labels that do not name a species, among them those that programs write for missing values. Recordings with such a "
        "label are quarantined.",
    )
    batches: int = Field(
        8,
        ge=1,
        le=1000,
        description="Number of batches. A stable hash of its id assigns each recording to a batch; a job processes one batch.",
    )
    fetch: FetchSettings = Field(FetchSettings(), description="Requests to servers.")
    licences: LicenceSettings = Field(LicenceSettings(), description="Uses that licences allow.")
    take_down: str | None = Field(
        None,
        description="Take-down list, a CSV table with the columns kind (`id`, `recordist` or `sha256`) and value. "
        "Recordings on it are not used, and the outputs contain only their id.",
    )

    @property
    def section(self) -> str | None:
        """Text before the keys of this source in messages; None if `sources` describes the sources."""
        return None if self.sources else "corpus."

    @model_validator(mode="after")
    def _requests_are_polite(self) -> Self:
        for source in self.sources or (self,):
            host = urlsplit(source.xeno_canto.api).hostname or ""
            if source.type == "xeno_canto" and self.fetch.interval < 1 and host.endswith(XENO_CANTO_HOST):
                raise ValueError(
                    f"fetch.interval {self.fetch.interval:g} s is below the one second that xeno-canto asks for; raise it"
                )
        return self

    @model_validator(mode="after")
    def _sources_can_be_joined(self) -> Self:
        if not self.sources:
            return self
        # A file that is overridden may set the type, or the size of the demo.
        for key in sorted(self.model_fields_set & (OneSourceSettings.model_fields.keys() - {"type", "demo"})):
            if getattr(self, key) != OneSourceSettings.model_fields[key].get_default():
                raise ValueError(f"{key} has no effect beside sources; move it into one of them, or remove it")
        names = [source.name.lower() for source in self.sources]
        reserved = {"negatives"} if self.negatives is not None else set()
        for n, name in enumerate(names):
            if name in names[:n] or name in reserved:
                used = "that of corpus.negatives" if name in reserved else "used twice"
                raise ValueError(f"the name {self.sources[n].name!r} of a source is {used}; give each source its own")
        remote = [source for source in self.sources if source.type in ("xeno_canto", "url")]
        locks = [source.lock_file for source in remote]
        for n, lock in enumerate(locks):
            if lock in locks[:n]:
                raise ValueError(f"two sources have the lock file {lock}; give each its own")
        demos = sum(source.type == "demo" for source in self.sources)
        if demos > 1:
            raise ValueError(f"{demos} sources have the type demo, and only one can; remove the others")
        return self
