"""The training settings that a `model.json` records, also one of an older version."""

from typing import Any

from autobird.model.settings import TrainSettings


def settings_of_model(model: dict[str, Any]) -> TrainSettings:
    """Return the settings that a network was trained with.

    Models of older versions do not name all of them; their outputs were softmax, and their bands were not centred.

    Args:
        model: content of `model.json`.
    """
    return TrainSettings.model_validate({"outputs": "softmax", "centre_bands": False} | model["train"])
