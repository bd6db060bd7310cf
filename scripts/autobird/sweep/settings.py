"""Settings of a sweep."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from autobird.core.settings import Settings


class SweepSettings(Settings):
    """`snakemake sweep`: trainings with other settings of `train`, compared on validation recordings (docs/sweep.md)."""

    file: str = Field(
        "config/sweep.yaml",
        description="File of the sweep: the method, the parameters and their values, in the syntax of a W&B sweep. Only "
        "`snakemake sweep` uses it.",
    )
    random_seed: int = Field(
        0, ge=0, description="Seed of the values that the methods `random` and `bayes` of the file draw."
    )
    train_seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None,
        min_length=1,
        max_length=10,
        description="Seeds of the trainings of each trial (`train.seed`); the score of a trial is their mean. `null`: `train.seed` alone.",
    )
    validate_on: Literal["split", "folds"] = Field(
        "split",
        description="Recordings that the trials are compared on. `split`: the validation split of the run; `folds`: the validation "
        "recordings of all folds of `dataset.folds` together, with a training for each fold. Test recordings of the run never count.",
    )
    keep: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Successive halving (needs `validate_on: folds`): share of the trials that are trained on further folds, after all of "
        "them were trained on the first one. `null`: all trials are trained on all folds.",
    )
    skip: tuple[str, ...] = Field(
        (),
        description="Ids of trials that are left out, such as `trial-5bd1cbfe69` after its training failed; the values of the others stay "
        "the same.",
    )

    @model_validator(mode="after")
    def _seeds_differ(self) -> "SweepSettings":
        seeds = self.train_seeds or ()
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"train_seeds {list(seeds)} contain a seed twice; remove one of them")
        return self
