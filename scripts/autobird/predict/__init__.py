"""Classify recordings with a released bundle; this package imports neither torch nor pandas nor pyarrow.

`from autobird.predict import Classifier, Detection, Prediction`
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autobird.predict.classifier import Classifier, Detection, Prediction

__all__ = ["Classifier", "Detection", "Prediction"]


def __getattr__(name: str) -> Any:
    # Imported on first use: `autobird.predict.settings` is imported by every job and must not load ONNX Runtime.
    if name in __all__:
        return getattr(importlib.import_module("autobird.predict.classifier"), name)
    raise AttributeError(name)
