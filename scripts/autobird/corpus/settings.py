"""Settings of the corpus: which recordings are used, and how they are dealt to splits."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from autobird.audio.settings import FilterSettings, RateSettings, WindowSettings
from autobird.core.settings import Settings
from autobird.corpus.sources.settings import (
    XENO_CANTO_HOST,
    AnnotationSettings,
    ColumnSettings,
    DemoSettings,
    FetchSettings,
    KaggleSettings,
    XenoCantoSettings,
)

CREATIVE_COMMONS = ("CC0", "BY", "BY-SA", "BY-NC", "BY-NC-SA", "BY-ND", "BY-NC-ND")
"""The licences of Creative Commons, from the freest to the strictest."""


class AcceptSettings(Settings):
    """What a file must fulfil to be used (stage `recordings`)."""

    min_duration: float = Field(0.5, ge=0, description="Shorter recordings are quarantined, seconds.")
    max_duration: float = Field(
        7200.0,
        gt=0,
        description="Longer recordings are quarantined, seconds of decoded sound, whatever the header says.",
    )
    min_decoded_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="A file that yields a smaller share of what its header promises is quarantined as truncated; "
        "above, it is used up to what is there.",
    )
    min_peak: float = Field(
        1e-4,
        ge=0,
        lt=1,
        description="Recordings whose peak is not above this are quarantined as silent; full scale = 1.",
    )


class CheckSettings(Settings):
    """How much may be wrong with a corpus (stage `check_corpus`)."""

    max_quarantined_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="The run stops if a larger share of the recordings is quarantined, not counting what a policy "
        "refuses (licences, take-downs).",
    )


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


class NearDuplicateSettings(Settings):
    """Which recordings hold the same sound (stage `near_duplicates`)."""

    near_duplicate_votes: int = Field(
        6,
        ge=3,
        description="Moments that two recordings must have in common, in the same order and at the same distance, to be one sound.",
    )


class SearchSettings(Settings):
    """Whether recordings are compared with each other."""

    near_duplicates: bool = Field(
        True, description="Look for recordings that hold the same sound: copies, excerpts, other encodings."
    )


class ExamineSettings(AcceptSettings, SearchSettings):
    """What is looked for in recordings."""


class RecordingsStageSettings(ExamineSettings, RateSettings):
    """What stage `recordings` needs."""


class CorpusSettings(ExamineSettings, CheckSettings, NearDuplicateSettings):
    """Recordings: their source and what is accepted."""

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
        if self.min_duration >= self.max_duration:
            raise ValueError(
                f"min_duration {self.min_duration:g} s is not below max_duration {self.max_duration:g} s; lower min_duration"
            )
        return self


class SplitSettings(Settings):
    """How groups of recordings are dealt to train, validation and test."""

    seed: int = Field(4, ge=0, description="Seed of the split.")
    validation: float = Field(0.2, gt=0, lt=1, description="Share of the groups that validate.")
    test: float = Field(0.2, gt=0, lt=1, description="Share of the groups that are tested.")
    folds: int = Field(5, ge=3, le=100, description="Number of folds of a cross-validation (used where `fold` is set).")
    fold: int | None = Field(
        None,
        ge=0,
        description="Test this fold, validate on the next and train on the others, instead of `validation` and `test`.",
    )

    @model_validator(mode="after")
    def _splits_fit(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation:g} and test {self.test:g} leave nothing to train on; lower one of them"
            )
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is not below folds {self.folds}; folds are counted from 0")
        return self


class BoxSettings(Settings):
    """How windows of annotated recordings get their labels (corpus type `annotations`)."""

    min_overlap: float = Field(
        0.5,
        gt=0,
        description="A window has the label of a box that it overlaps by so many seconds, or by the whole box if that is shorter.",
    )
    centre: bool = Field(False, description="Instead: a window has the label of a box that its centre lies in.")
    background: str | None = Field(
        None, description="Label of windows without any box, as a class of its own; without it they are left out."
    )


class DatasetSettings(SplitSettings, BoxSettings):
    """From recordings to training data."""

    recorder_sessions: bool = Field(
        True,
        description="Recordings of one recorder in one night stay together, by the times in file names and headers. Switch it off "
        "where these are not the times of the recordings, for example those of a download.",
    )
    min_windows: int = Field(
        10, ge=1, description="Species with fewer windows after the filters are kept apart as examples of the unknown."
    )


class DatasetStageSettings(DatasetSettings, FilterSettings, WindowSettings, SearchSettings):
    """What stage `dataset` needs: the split, which windows are kept, where they lie in time, and what was searched for."""
