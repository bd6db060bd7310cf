"""Settings of the evaluation."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from autobird.core.settings import Settings
from autobird.corpus.settings import NearDuplicateSettings
from autobird.sources.settings import AnnotationSettings, ColumnSettings, NegativeNameSettings
from autobird.synth.settings import DemoFieldSettings


class AggregationSettings(Settings):
    """How the probabilities of windows are smoothed, and those of a recording computed from them."""

    aggregation: Literal["mean", "max"] = Field(
        "mean",
        description="How the probabilities of a recording are computed from those of its windows. `mean`: their mean; `max`: "
        "the largest of each species, with softmax outputs scaled to a sum of 1.",
    )
    smoothing: float = Field(
        0.25,
        ge=0,
        le=1 / 3,
        description="Weight of the window before and of the one after a window in its probabilities; the window itself has the rest. 0: "
        "windows are judged one by one (docs/evaluation.md).",
    )


class IntervalSettings(Settings):
    """Confidence intervals."""

    resamples: int = Field(
        1000,
        ge=100,
        le=100000,
        description="Number of bootstrap resamples behind each confidence interval. Groups of recordings (sessions) are resampled.",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence level of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the random numbers of the bootstrap.")


class ThresholdSettings(Settings):
    """What the decision thresholds of the species are chosen for, on validation recordings (docs/evaluation.md)."""

    precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Wanted precision of the detections of each species: its threshold is the lowest one with this precision per "
        "validation window and recording. `null`: the threshold with the highest F1 per window.",
    )
    false_alarms_per_hour: float | None = Field(
        None,
        gt=0,
        description="Largest acceptable number of false alarms, of all species together, per hour of sound that holds none of the "
        "species. The thresholds of all species are raised until the negative recordings of the validation split give at most as "
        "many. `null`: they are not raised.",
    )


class CalibrationSettings(IntervalSettings, AggregationSettings, ThresholdSettings):
    """Calibration and thresholds of a network (stage `compare`)."""


class EvaluationSettings(IntervalSettings, AggregationSettings):
    """Evaluation of a model on the validation and test recordings."""


class PossiblyHeardSettings(IntervalSettings):
    """Settings of stage `possibly_heard`: the backbone, and the confidence intervals."""

    name: str = Field("birdnet-2.4", description="Name of the backbone.")
    heard_until: int | None = Field(None, description="See `BackboneSettings`.")


class WithBackboneSettings(PossiblyHeardSettings):
    """Settings of stage `with_backbone`."""


class FieldTruthSettings(Settings):
    """How annotated boxes are compared with windows and detections."""

    min_overlap: float = Field(
        0.5,
        gt=0,
        description="Minimum overlap, in seconds, of a box with a window that has its species, and with a detection that finds "
        "it. A box shorter than this must lie completely inside the window or the detection.",
    )
    tolerance: float = Field(
        0.2,
        ge=0,
        description="Seconds by which the start and the end of a box may be wrong. Windows that are closer than this to a box, but do "
        "not count as having its species, are not used for this species.",
    )


class FieldScoreSettings(IntervalSettings, FieldTruthSettings, NegativeNameSettings):
    """All settings of stage `field_evaluate`."""


class FieldLeakageSettings(NearDuplicateSettings, NegativeNameSettings):
    """All settings of stage `field_leakage`."""


class FieldSettings(FieldTruthSettings):
    """Recordings that are never trained on, on which the finished bundle is measured (docs/field.md)."""

    type: Literal["auto", "annotations", "folder", "table", "negatives", "demo"] = Field(
        "auto",
        description="`annotations`: recordings with tables of annotation boxes; `folder`: one folder per species; `table`: a table of "
        "paths and species; `negatives`: a folder of recordings that contain none of the model's species; `demo`: synthesised field "
        "recordings of the demo's species, which are not used for a corpus of another type; `auto`: `annotations` if `root` is set, "
        "`table` if `table` is set, else `demo`.",
    )
    root: str | None = Field(None, description="Folder of the recordings, as in `corpus.root`.")
    table: str | None = Field(None, description="Table of the recordings (type `table`), as in `corpus.table`.")
    metadata: str = Field("auto", description="Table with metadata of the recordings, as in `corpus.metadata`.")
    columns: ColumnSettings = Field(
        ColumnSettings(), description="Names of the columns in the table of recordings or metadata."
    )
    annotations: AnnotationSettings = Field(AnnotationSettings(), description="Tables of annotation boxes.")
    demo: DemoFieldSettings = Field(DemoFieldSettings(), description="The synthesised field recordings (type `demo`).")
    batches: int = Field(
        4,
        ge=1,
        le=1000,
        description="Number of batches. A stable hash of its path assigns each recording to a batch; a job processes one batch.",
    )

    @model_validator(mode="before")
    @classmethod
    def _type_of_recordings(cls, values: Any) -> Any:
        """Replace `auto`. Files of settings extend each other key by key, so the demo's file must not fix the type."""
        if not isinstance(values, dict) or values.get("type", "auto") != "auto":
            return values
        kind = "annotations" if values.get("root") else "table" if values.get("table") else "demo"
        return values | {"type": kind}

    @model_validator(mode="after")
    def _recordings_are_named(self) -> Self:
        if self.type in ("annotations", "folder", "negatives") and not self.root:
            raise ValueError(
                f"type {self.type} needs root, the folder that holds the recordings; set evaluation.field.root"
            )
        if self.type == "table" and not self.table:
            raise ValueError("type table needs table, the table of recordings; set evaluation.field.table")
        return self


class EvaluationSectionSettings(EvaluationSettings, ThresholdSettings):
    """Evaluation of a model on the validation and test recordings, and of the bundle on field recordings."""

    field: FieldSettings | None = Field(
        None,
        description="Recordings that are never trained on, on which the finished bundle is measured. Not set: none.",
    )
