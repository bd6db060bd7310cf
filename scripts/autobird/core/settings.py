"""The base of all settings: frozen, no unknown keys, every field described."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of one area. Subclasses hold fields, bounds and validators, and nothing that computes.

    A module named `settings` is left out of the code fingerprints, because the resolved values travel
    in each rule's `params`; a test holds these modules to declarations.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )
