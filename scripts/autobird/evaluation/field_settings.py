"""The settings of the stages that measure the bundle on field recordings, from the section `evaluation.field`."""

from autobird.evaluation.settings import FieldScoreSettings, FieldSettings, FieldTruthSettings, IntervalSettings
from autobird.sources.settings import SourceSettings

_OWN = ("root", "table", "metadata", "columns", "annotations", "batches")
"""Keys of the source that `evaluation.field` has itself."""

_SHARED = ("unknown_species", "take_down", "species_suffix", "negative_names", "empty_species")
"""Keys of the corpus that hold for the field recordings too."""


def source_settings(field: FieldSettings, corpus: SourceSettings) -> SourceSettings:
    """Return the settings of the source of the field recordings; labels and take-downs are treated as in the corpus."""
    values = {name: getattr(field, name) for name in _OWN} | {name: getattr(corpus, name) for name in _SHARED}
    return SourceSettings.model_validate(values | {"type": "folder" if field.type == "negatives" else field.type})


def score_settings(field: FieldSettings, intervals: IntervalSettings, corpus: SourceSettings) -> FieldScoreSettings:
    """Return the settings of stage `field_evaluate`."""
    values = {name: getattr(field, name) for name in FieldTruthSettings.model_fields}
    values |= {name: getattr(intervals, name) for name in IntervalSettings.model_fields}
    values |= {"negative_names": corpus.negative_names}
    return FieldScoreSettings.model_validate(values)
