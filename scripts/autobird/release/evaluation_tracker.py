"""Log an evaluation and a model to Weights & Biases (W&B).

Not a part of `model.tracking`, which the training uses: a change of what is logged of an evaluation must not train again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autobird.model.tracking import Tracker


def with_bounds(name: str, value: float, low: float, high: float) -> dict[str, float]:
    """Return a score and the bounds of its interval by the names that W&B shows; without those that are NaN or None."""
    found = {name: value, f"{name}_low": low, f"{name}_high": high}
    return {key: float(number) for key, number in found.items() if pd.notna(number)}


class EvaluationTracker(Tracker):
    """A `Tracker` that logs to the run of a training what was made of it."""

    @property
    def is_resumed(self) -> bool:
        """Whether W&B's server already had the run; False offline, where this is not known."""
        return self.mode == "online" and bool(getattr(self._run, "resumed", False))

    def log_evaluation(
        self,
        step: int,
        scores: Mapping[str, float],
        images: Mapping[str, Path],
        tables: Mapping[str, pd.DataFrame],
    ) -> None:
        """Log the results of an evaluation.

        Args:
            step: step of the run, larger than the number of epochs: W&B ignores what is logged to earlier steps.
            scores: values for the summary of the run, by name.
            images: PNG files, by name.
            tables: by name.
        """

        def send() -> None:
            self._run.summary.update(dict(scores))
            media = {name: self._wandb.Image(str(path)) for name, path in images.items()}
            media |= {name: self._wandb.Table(dataframe=table) for name, table in tables.items()}
            self._run.log(media, step=step)

        self._attempt(send)

    def log_model(self, name: str, files: Sequence[Path], description: Mapping[str, Any]) -> None:
        """Log files as the artefact of the model, with a description as JSON types."""

        def send() -> None:
            artefact = self._wandb.Artifact(name, type="model", metadata=dict(description))
            for path in files:
                artefact.add_file(str(path), name=path.name)
            self._run.log_artifact(artefact)

        self._attempt(send)
