"""What a backbone costs a model that needs it: computation and size."""

from typing import Self

from autobird.audio.settings import WindowSettings
from autobird.backbone.base import Backbone
from autobird.backbone.stream import WindowGrid
from autobird.core.settings import Settings


class BackboneCost(Settings):
    """The cost of a backbone; `model.json` of a head holds it as `backbone_cost`.

    Attributes:
        windows: number of backbone windows in a window of the run; one that several windows share counts in each.
        window_multiply_adds: multiply-adds of a backbone window; None if they cannot be counted.
        size: size of the backbone's file, bytes.
    """

    windows: int
    window_multiply_adds: int | None
    size: int

    @classmethod
    def of(cls, backbone: Backbone, windows: WindowSettings) -> Self:
        """Return the cost of a backbone for the windows of a run."""
        count = len(WindowGrid(windows, backbone.info).offsets)
        return cls(windows=count, window_multiply_adds=backbone.multiply_adds(), size=backbone.size)

    @property
    def multiply_adds(self) -> int | None:
        """Multiply-adds for a window of the run; None if they cannot be counted."""
        return None if self.window_multiply_adds is None else self.windows * self.window_multiply_adds
