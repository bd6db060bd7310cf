"""The configuration of a run: its sections, its validation, and the generated reference of all settings."""

import difflib
import json
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticUndefined

from autobird.audio.settings import FeatureSettings, Name
from autobird.backbone.known import describe
from autobird.backbone.settings import BackboneSettings
from autobird.core.errors import AutobirdError
from autobird.core.settings import Settings
from autobird.corpus.settings import CorpusSettings
from autobird.dataset.settings import DatasetSettings
from autobird.drift.settings import DriftSettings
from autobird.evaluation.settings import EvaluationSectionSettings
from autobird.model.settings import TrainSectionSettings
from autobird.model.tracking import TrackingMode
from autobird.predict.settings import PredictSettings
from autobird.release.settings import ReleaseSettings
from autobird.sources.licences import network_allowed, network_family
from autobird.sweep.settings import SweepSettings


def _tracking_mode(value: Any) -> Any:
    """Return the mode for a boolean or null in YAML; any other value is returned as it is."""
    if isinstance(value, bool) or value is None:
        return "offline" if value else "none"
    return value


Tracking = Annotated[TrackingMode, BeforeValidator(_tracking_mode, json_schema_input_type=TrackingMode | bool | None)]


class RunSettings(Settings):
    """The name of the run, and the tracking of its training."""

    name: Name = Field(
        "demo",
        description="Name of the run. Its results are written to the folder results/<name>, so several runs can be kept side by "
        "side. The name `features` is reserved for results that runs share.",
    )
    tracking: Tracking = Field(
        "offline",
        description="Whether the training is logged to Weights & Biases, if that package is installed. `offline`: to files on this "
        "machine, which `wandb sync` uploads; `online`: to the service, which requires a login; `none`: not at all. `true` means "
        "`offline` and `false` means `none`. The environment variable WANDB_MODE=online turns the upload on, WANDB_MODE=offline or "
        "disabled turns it off; a login alone never uploads anything.",
    )


class Config(Settings):
    """All sections of a configuration file."""

    run: RunSettings = Field(RunSettings(), description=RunSettings.__doc__)
    corpus: CorpusSettings = Field(CorpusSettings(), description=CorpusSettings.__doc__)
    features: FeatureSettings = Field(FeatureSettings(), description=FeatureSettings.__doc__)
    backbone: BackboneSettings = Field(BackboneSettings(), description=BackboneSettings.__doc__)
    dataset: DatasetSettings = Field(DatasetSettings(), description=DatasetSettings.__doc__)
    train: TrainSectionSettings = Field(TrainSectionSettings(), description=TrainSectionSettings.__doc__)
    sweep: SweepSettings = Field(SweepSettings(), description=SweepSettings.__doc__)
    evaluation: EvaluationSectionSettings = Field(
        EvaluationSectionSettings(), description=EvaluationSectionSettings.__doc__
    )

    release: ReleaseSettings = Field(ReleaseSettings(), description=ReleaseSettings.__doc__)
    drift: DriftSettings = Field(DriftSettings(), description=DriftSettings.__doc__)
    predict: PredictSettings = Field(PredictSettings(), description=PredictSettings.__doc__)

    @property
    def uses_backbone(self) -> bool:
        """Whether a job of the run needs the embeddings of the backbone."""
        return self.train.architecture == "head" or self.train.teacher is not None

    def provenance(self) -> str:
        """Return the settings that a bundle records as its provenance, as JSON.

        Left out are paths on this machine, and what does not influence the bundle.
        """
        unused = {"drift", "predict", "run", "sweep"} | (set() if self.uses_backbone else {"backbone"})
        sections = self.model_dump(mode="json", exclude=unused)
        if self.uses_backbone:
            sections["backbone"].pop("file")
        for key in ("unlabelled", "profile", *(() if self.train.ensemble != "none" else ("seeds",))):
            sections["train"].pop(key)
        for key in ("take_down", "fetch", "negatives"):
            sections["corpus"].pop(key)
        for source in (sections["corpus"], *sections["corpus"]["sources"]):
            for key in ("root", "table", "lock"):
                source.pop(key)
            source["annotations"].pop("table")
        sections["evaluation"].pop("field")
        return json.dumps(sections, ensure_ascii=False)

    def check_backbone_licence(self) -> None:
        """Check that the licence policy for training allows the backbone, whose licence the model inherits.

        Raises:
            AutobirdError: the policy forbids it.
        """
        backbone, policy = describe(self.backbone), self.corpus.licences.train
        licence = backbone.licence or ""
        if not network_allowed(licence, policy):
            raise AutobirdError(
                f"corpus.licences.train: [{', '.join(policy)}] does not allow {licence or 'an unknown licence'}, the licence of the "
                f"backbone {backbone.name}, which the model would inherit; add {network_family(licence)} to corpus.licences.train, or "
                "choose another backbone.name or train.architecture"
            )

    def settings_json(self, model: type[Settings], *sections: str) -> str:
        """Return the settings of one stage as the JSON that its rule passes to it.

        Args:
            model: settings of the stage; each field is taken from the section that has a key of this name.
            sections: the sections to search.

        Raises:
            ValueError: a field is a key of no section, or of several sections, whose values may differ.
        """
        values: dict[str, Any] = {}
        for name in sorted(model.model_fields):
            owners = [s for s in sections if name in type(getattr(self, s)).model_fields]
            if len(owners) != 1:
                raise ValueError(f"{model.__name__}.{name} must be a key of one of {sections}, not of {owners}")
            values[name] = getattr(self, owners[0]).model_dump(mode="json", include={name})[name]
        return json.dumps(values, ensure_ascii=False)


def load_config(raw: Mapping[str, Any]) -> Config:
    """Validate a configuration that was read from YAML.

    Raises:
        AutobirdError: one line that names the first invalid key, its value and the remedy.
    """
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        raise AutobirdError(_error_line(error.errors()[0])) from error
    if config.uses_backbone:
        config.check_backbone_licence()
    if config.train.teacher not in (None, config.backbone.name):
        raise AutobirdError(
            f"train.teacher: {config.train.teacher!r} is not the backbone of the run, {config.backbone.name!r}; set train.teacher "
            "to it, or backbone.name to the teacher"
        )
    if config.features.alignment == "window" and "crop_seconds" not in config.train.model_fields_set:
        config = config.model_copy(update={"train": config.train.model_copy(update={"crop_seconds": 0.0})})
    if config.train.crop_seconds and config.train.architecture != "head" and config.features.alignment == "window":
        raise AutobirdError(
            f"train.crop_seconds is {config.train.crop_seconds:g}, but features.alignment is window, so that no frames are stored between "
            "the windows; set train.crop_seconds to 0, or features.alignment to recording"
        )
    if config.run.name == "features":
        raise AutobirdError("run.name: 'features' is reserved for results that runs share; choose another name")
    return config


def _error_line(error: ErrorDetails) -> str:
    """Return a validation error as one line with key, value and remedy."""
    path = [str(key) for key in error["loc"]]
    key = ".".join(path) or "configuration"
    if error["type"] == "extra_forbidden":
        valid_keys = _model_at(path[:-1]).model_fields
        similar = difflib.get_close_matches(path[-1], valid_keys, n=1)
        hint = f"did you mean {similar[0]}?" if similar else f"valid keys are {', '.join(valid_keys)}"
        return f"{key}: there is no such key; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{key}: {message}"
    return f"{key}: {error['input']!r} is not valid: {message[0].lower()}{message[1:]}; see config/README.md"


def _model_at(path: list[str]) -> type[BaseModel]:
    """Return the model of the section, or of the group of keys inside a section, at `path`."""
    model: type[BaseModel] = Config
    for key in path:
        if key.isdigit():
            continue  # the position in a list
        kind = _model_of(model.model_fields[key].annotation)
        assert kind is not None
        model = kind
    return model


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a group of keys, which may be optional or one of a list; None for the annotation of a single key."""
    of_list = get_origin(annotation) is tuple
    kinds = [
        kind for kind in get_args(annotation) or (annotation,) if kind not in (NoneType, *([...] if of_list else []))
    ]
    is_model = len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], BaseModel)
    return kinds[0] if is_model else None


def settings_reference() -> str:
    """Return tables of all keys as Markdown, for `config/README.md`."""
    lines: list[str] = []
    for name, field in Config.model_fields.items():
        lines += [f"## `{name}`", "", (field.description or "").strip().splitlines()[0], ""]
        lines += ["| key | default | meaning |", "|---|---|---|"]
        lines += [f"| `{name}.{key}` | {default} | {text} |" for key, default, text in _fields(_model_at([name]))]
        lines += [""]
    return "\n".join(lines)


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, default and description of each field, also of nested models."""
    for key, field in model.model_fields.items():
        kind = None if get_origin(field.annotation) is tuple else _model_of(field.annotation)
        if kind is not None:
            if field.default is None:
                yield f"{prefix}{key}", "`null`", field.description or ""
            yield from _fields(kind, f"{prefix}{key}.")
            continue
        default = "" if field.default is PydanticUndefined else f"`{json.dumps(field.default)}`"
        yield f"{prefix}{key}", default, (field.description or "").replace("|", "\\|")


def json_schema() -> str:
    """Return the JSON schema of a configuration file, which editors use to check it."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
