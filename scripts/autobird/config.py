"""The whole configuration: composed of the areas' settings, checked before any job, explained for people."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticUndefined

from autobird.audio.settings import FeatureSettings, Name
from autobird.core.errors import AutobirdError
from autobird.core.settings import Settings
from autobird.corpus.settings import CorpusSettings
from autobird.dataset.settings import DatasetSettings
from autobird.drift.settings import DriftSettings
from autobird.evaluation.settings import EvaluationSettings
from autobird.model.settings import TrainSettings
from autobird.predict.settings import PredictSettings
from autobird.release.settings import ReleaseSettings


def _named(value: Any) -> Any:
    """`run.tracking` as YAML's true, false and null say it."""
    if isinstance(value, bool) or value is None:
        return "offline" if value else "none"
    return value


_Modes = Literal["none", "offline", "online"]

Tracking = Annotated[_Modes, BeforeValidator(_named, json_schema_input_type=_Modes | bool | None)]


class RunSettings(Settings):
    """The run: its name, so that runs stand side by side."""

    name: Name = Field(
        "demo", description="Folder of the run: results/<name>. Not `features`, which holds what runs share."
    )
    tracking: Tracking = Field(
        "offline",
        description="Log the training to Weights & Biases, if it is installed. `offline`: files on this machine (`wandb sync` "
        "sends them); `online`: send it, which needs a login; `none`: nothing. WANDB_MODE=online asks for online too, "
        "WANDB_MODE=offline or disabled prevents it; being logged in alone sends nothing. true and false mean offline and none.",
    )


class Config(Settings):
    """All sections of a configuration file."""

    run: RunSettings = Field(RunSettings(), description=RunSettings.__doc__)
    corpus: CorpusSettings = Field(CorpusSettings(), description=CorpusSettings.__doc__)
    features: FeatureSettings = Field(FeatureSettings(), description=FeatureSettings.__doc__)
    dataset: DatasetSettings = Field(DatasetSettings(), description=DatasetSettings.__doc__)
    train: TrainSettings = Field(TrainSettings(), description=TrainSettings.__doc__)
    evaluation: EvaluationSettings = Field(EvaluationSettings(), description=EvaluationSettings.__doc__)

    release: ReleaseSettings = Field(ReleaseSettings(), description=ReleaseSettings.__doc__)
    drift: DriftSettings = Field(DriftSettings(), description=DriftSettings.__doc__)
    predict: PredictSettings = Field(PredictSettings(), description=PredictSettings.__doc__)

    def provenance(self) -> str:
        """What a bundle says of its making, as JSON: no paths of this machine, and nothing that came after it."""
        sections = self.model_dump(mode="json", exclude={"drift", "predict", "run"})
        for key in ("root", "table", "take_down", "lock", "fetch"):
            sections["corpus"].pop(key)
        sections["corpus"]["annotations"].pop("table")
        return json.dumps(sections, ensure_ascii=False)

    def part(self, kind: type[Settings], *sections: str) -> str:
        """Return the settings of one stage as the JSON that its rule passes to it.

        Args:
            kind: settings of the stage; every field is taken from the section that has a key of this name.
            sections: the sections to look in.

        Raises:
            ValueError: a field is a key of no section, or of several, whose values may differ.
        """
        values: dict[str, Any] = {}
        for name in sorted(kind.model_fields):
            owners = [s for s in sections if name in type(getattr(self, s)).model_fields]
            if len(owners) != 1:
                raise ValueError(f"{kind.__name__}.{name} must be a key of one of {sections}, not of {owners}")
            values[name] = getattr(self, owners[0]).model_dump(mode="json", include={name})[name]
        return json.dumps(values, ensure_ascii=False)


def load_config(raw: Mapping[str, Any]) -> Config:
    """Check a configuration as YAML gives it.

    Raises:
        AutobirdError: one line that names the first wrong key, its value and the remedy.
    """
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        raise AutobirdError(_sentence(error.errors()[0])) from error
    if config.run.name == "features":
        raise AutobirdError("run.name: 'features' is the folder of what runs share; choose another name")
    return config


def _sentence(error: ErrorDetails) -> str:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path) or "configuration"
    if error["type"] == "extra_forbidden":
        owner = _model_at(path[:-1])
        near = difflib.get_close_matches(path[-1], owner.model_fields, n=1)
        known = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(owner.model_fields)}"
        return f"{key}: there is no such key; {known}"
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{key}: {text}"
    return f"{key}: {error['input']!r} is not valid: {text[0].lower()}{text[1:]}; see config/README.md"


def _model_at(path: list[str]) -> type[BaseModel]:
    model: type[BaseModel] = Config
    for part in path:
        kind = model.model_fields[part].annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        model = kind
    return model


def reference() -> str:
    """The table of all keys, as Markdown: what `config/README.md` holds below its marker."""
    lines: list[str] = []
    for name, field in Config.model_fields.items():
        model = _model_at([name])
        lines += [f"## `{name}`", "", (field.description or "").strip().splitlines()[0], ""]
        lines += ["| key | default | meaning |", "|---|---|---|"]
        lines += [f"| `{name}.{key}` | {default} | {text} |" for key, default, text in _fields(model)]
        lines += [""]
    return "\n".join(lines)


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{prefix}{key}.")
            continue
        default = "" if field.default is PydanticUndefined else f"`{json.dumps(field.default)}`"
        yield f"{prefix}{key}", default, (field.description or "").replace("|", "\\|")


def schema() -> str:
    """The JSON schema of a configuration file, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
