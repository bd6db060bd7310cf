"""The base class of all settings: immutable, and without unknown keys."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of one area. Subclasses hold fields with bounds and descriptions, validators and short properties.

    The code fingerprints include properties. They leave out fields and validators, because the resolved values are
    in the `params` of each rule.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )
