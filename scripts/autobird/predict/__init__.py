"""A bundle and audio in, what sings when out. No torch, pandas, pyarrow.

`from autobird.predict import Classifier, Detection, Prediction`
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autobird.predict.classifier import Classifier, Detection, Prediction

__all__ = ["Classifier", "Detection", "Prediction"]


def __getattr__(name: str) -> Any:
    # Late and by name: the settings of this area must not bring ONNX Runtime along.
    if name in __all__:
        return getattr(importlib.import_module("autobird.predict.classifier"), name)
    raise AttributeError(name)
