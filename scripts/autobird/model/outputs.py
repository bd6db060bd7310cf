"""Whether a kind of outputs fits the species of a data set."""

from collections.abc import Sequence

from autobird.core.errors import AutobirdError


def check_outputs(outputs: str, labels: Sequence[str]) -> None:
    """Refuse softmax outputs of a single species, which would be detected with a probability of 1 in every sound.

    Args:
        outputs: `TrainSettings.outputs`.
        labels: species.

    Raises:
        AutobirdError: otherwise.
    """
    if outputs == "softmax" and len(labels) < 2:
        raise AutobirdError(
            f"train.outputs: softmax needs two species, and the data set has {', '.join(labels) or 'none'} alone, which would be detected "
            "in every sound; set train.outputs to independent, or add another species"
        )
