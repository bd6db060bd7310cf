"""What a compute process does: load the bundle, check it with its example clip, and answer tasks."""

from pathlib import Path

from autobird.predict.answer_options import AnswerOptions
from autobird.predict.classifier import Classifier
from autobird.serving.requests import ServedBundle


def load(folder: Path, backbone: str | None = None) -> tuple[Classifier, ServedBundle]:
    """Load a bundle with the thresholds of the table beside it; return it with its description.

    Raises:
        AutobirdError: the bundle cannot be read, the table does not fit it, or its backbone is not installed.
    """
    classifier = Classifier(folder, backbone=backbone)
    b = classifier.bundle
    return classifier, ServedBundle(
        folder=folder,
        name=b.name,
        variant=b.variant,
        fingerprint=b.fingerprint,
        labels=b.labels,
        thresholds=tuple(float(t) for t in b.thresholds),
        precisions=tuple(sorted(b.precision_thresholds)),
        outputs=b.calibration.outputs,
        features=b.features.model_dump(mode="json"),
        backbone=None if b.backbone is None else b.backbone.model_dump(mode="json"),
        notes=tuple(AnswerOptions().notes(b)),
    )
