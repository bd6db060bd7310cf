"""The base of all settings: frozen, no unknown keys, every field described."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of one area. Subclasses hold fields, bounds, validators and short properties.

    Fields and validators do not count in the code fingerprints, because the resolved values travel in each
    rule's `params`; properties do.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )
