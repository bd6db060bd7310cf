"""Settings of the data set: labels of windows, splits, and which windows are kept."""

from typing import Self

from pydantic import Field, model_validator

from autobird.audio.settings import FilterSettings, WindowSettings
from autobird.core.settings import Settings
from autobird.corpus.settings import SearchSettings


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
