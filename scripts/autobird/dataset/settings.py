"""Settings of the data set: labels of windows, splits, and which windows are used."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from autobird.audio.settings import FilterSettings, WindowSettings
from autobird.core.settings import Settings
from autobird.corpus.settings import SearchSettings
from autobird.sources.settings import NegativeNameSettings


class SplitSettings(Settings):
    """How groups of recordings are assigned to training, validation and test."""

    seed: int = Field(
        4,
        ge=0,
        description="Seed of the assignment to splits. Another seed gives another training, validation and test set.",
    )
    validation: float = Field(
        0.2, gt=0, lt=1, description="Share of the groups of recordings that are used for validation (0 to 1)."
    )
    test: float = Field(
        0.2, gt=0, lt=1, description="Share of the groups of recordings that are used for testing (0 to 1)."
    )
    folds: int = Field(
        5, ge=3, le=100, description="Number of folds of a cross-validation. Used only if `fold` is set."
    )
    fold: int | None = Field(
        None,
        ge=0,
        description="Number of the cross-validation fold to test, counted from 0. The next fold is used for validation and the "
        "others for training; the shares `validation` and `test` are ignored. Without a value there is no cross-validation.",
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
    """How windows of annotated recordings get their labels from bounding boxes (corpus type `annotations`).

    Windows that no box touches are negatives.
    """

    min_overlap: float = Field(
        0.5,
        gt=0,
        description="Minimum overlap in seconds of a window and an annotated bounding box for the window to get the label of the "
        "box. A box shorter than this must lie completely inside the window.",
    )
    centre: bool = Field(
        False,
        description="If true, a window gets the label of a box if the centre of the window is inside the box; `min_overlap` is "
        "not used.",
    )

    @model_validator(mode="before")
    @classmethod
    def _has_no_background(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "background" in values:
            raise ValueError(
                f"the key background ({values['background']!r}) was removed: windows that no annotated box touches are now negatives, "
                "with which every model is trained and which are no species; remove the key"
            )
        return values


class DatasetSettings(SplitSettings, BoxSettings):
    """How recordings become training data: labels, splits, minimum number of windows."""

    recorder_sessions: bool = Field(
        True,
        description="Keep all recordings that one recorder made in one night in the same split. Recorder and time are read from "
        "file names and headers. Set it to false if those times are not recording times, for example times of a download.",
    )
    min_windows: int = Field(
        10,
        ge=1,
        description="Minimum number of windows in which a species is present, after the filters. Species with fewer windows are not "
        "trained; windows in which only such species are present stay in the index as split `unknown`.",
    )
    min_recordings: int = Field(
        1,
        ge=1,
        description="Minimum number of recordings of a species with windows that pass the filters. Species with fewer recordings are "
        "treated like those with fewer than `min_windows` windows.",
    )


class DatasetStageSettings(DatasetSettings, FilterSettings, WindowSettings, SearchSettings, NegativeNameSettings):
    """All settings of stage `dataset`."""
