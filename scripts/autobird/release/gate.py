"""The release gate: the rule that selects the variant to release from its results on validation recordings.

The rule uses no measured times, so the same variant is selected on every machine.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from autobird.backbone.cost import BackboneCost
from autobird.core.wording import counted
from autobird.release.settings import GateSettings
from autobird.release.sizes import size_text


class Bounds(NamedTuple):
    """An estimate and the ends of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    """A variant of the model and its results on validation.

    Attributes:
        name: name of the variant; `float` is the float32 model that the others are compared with.
        f1_loss: macro-F1 per recording of the float32 model minus that of this variant; None if it or its interval is not known.
        recall_loss: the same for the recall of the detections.
        false_alarm_ratio: false alarms of this variant, divided by those of the float32 model; None without sound to count them in.
        agreement: share of windows in which this variant and the float32 model detect the same set of species.
        multiply_adds: number of multiply-adds per window, without a backbone.
        bits: width of the numbers that are multiplied.
        size: size of the file, bytes.
        backbone: cost of the backbone that the model needs; None: it needs none.
    """

    name: str
    f1_loss: Bounds | None
    recall_loss: Bounds | None
    false_alarm_ratio: Bounds | None
    agreement: float
    multiply_adds: int
    bits: int
    size: int
    backbone: BackboneCost | None = None

    @property
    def cost(self) -> tuple[int, int, str]:
        """Sort key, cheapest first: multiply-adds times bit width, then bytes, then name.

        All variants of a model have the same backbone, so its cost does not change the order.
        """
        return self.multiply_adds * self.bits, self.size, self.name


@dataclass(frozen=True)
class GateDecision:
    """The selected variant, and the reasons.

    Attributes:
        released: name of the selected variant.
        reason: the reasons as text, separated by semicolons.
        underpowered: variants with a loss or a ratio of false alarms whose interval is too wide, so that agreement decided.
        failed: for each variant that did not pass, the reason.
        not_released: why no variant is released after all; "" if one is. `released` is then the one that the results are about.
    """

    released: str
    reason: str
    underpowered: list[str]
    failed: dict[str, str]
    not_released: str = ""


@dataclass(frozen=True)
class _Criterion:
    """A result of a variant compared with the float32 model, and its limit.

    Attributes:
        name: what is compared.
        bounds: the result and its interval; None if they are not known.
        limit: largest acceptable value.
        is_ratio: whether the result is a ratio, whose interval has a width on the logarithmic scale.
    """

    name: str
    bounds: Bounds | None
    limit: float
    is_ratio: bool = False

    @property
    def is_underpowered(self) -> bool:
        """Whether the interval is so wide that even a variant equal to the float32 model would fail."""
        if self.bounds is None:
            return True
        _, low, high = self.bounds
        if self.is_ratio:
            return math.log(high / low) / 2 > math.log(self.limit)
        return (high - low) / 2 > self.limit

    @property
    def fails_in_any_case(self) -> bool:
        """Whether the whole interval is above the limit."""
        return self.bounds is not None and self.bounds.low > self.limit

    def failure(self, at_least: bool) -> str:
        """Say how much is lost, at least or at most."""
        assert self.bounds is not None
        bound = self.bounds.low if at_least else self.bounds.high
        if self.is_ratio:
            gives = "gives at least" if at_least else "may give up to"
            return f"{gives} {bound:.2f} times as many {self.name} on validation (at most {self.limit:g} allowed)"
        loses = "loses at least" if at_least else "may lose up to"
        return f"{loses} {bound:.4f} of {self.name} on validation (at most {self.limit:g} allowed)"

    def result(self) -> str:
        """Return the result of a variant that passes."""
        assert self.bounds is not None
        value, low, high = self.bounds
        if self.is_ratio:
            return f"{value:.2f} [{low:.2f}, {high:.2f}] times as many {self.name} (upper end: at most {self.limit:g} allowed)"
        return (
            f"a loss of {value:.4f} [{low:.4f}, {high:.4f}] of {self.name} (upper end: at most {self.limit:g} allowed)"
        )


def _criteria(c: Candidate, settings: GateSettings) -> list[_Criterion]:
    """Return the criteria of a variant; false alarms only where they are counted."""
    criteria = [
        _Criterion("macro-F1", c.f1_loss, settings.max_f1_loss),
        _Criterion("recall of the detections", c.recall_loss, settings.max_recall_loss),
    ]
    if c.false_alarm_ratio is not None:
        criteria.append(_Criterion("false alarms", c.false_alarm_ratio, settings.max_false_alarm_ratio, is_ratio=True))
    return criteria


def select_variant(
    candidates: list[Candidate],
    recordings: int,
    groups: int,
    settings: GateSettings,
    refused: Mapping[str, str] | None = None,
) -> GateDecision:
    """Select the cheapest variant that passes; the float32 model always passes, unless it is refused.

    A variant passes if the upper ends of the intervals of its losses of macro-F1 and of recall and of its ratio of false alarms are at
    most their limits. If the interval of one of them is so wide that even a variant equal to the float32 model would fail, validation is
    too small for this comparison. The variant must then detect the same set of species as the float32 model in at least
    `min_agreement` of the windows instead. A variant with a whole interval above its limit fails in both cases.

    Args:
        candidates: all variants, including `float`.
        recordings: number of validation recordings of which one species alone is known to be present, on which macro-F1 is computed.
        groups: number of independent groups of these recordings.
        settings: limits of the gate.
        refused: for each variant that must not be released for another reason, the reason. If that is all of them, the decision
            names the float32 model.
    """
    failed = dict(refused or {})
    others = [c for c in candidates if c.name != "float"]
    unclear = {c.name: [x.name for x in _criteria(c, settings) if x.is_underpowered] for c in others}
    for c in others:
        reason = None if c.name in failed else _failure(c, settings)
        if reason:
            failed[c.name] = reason
    passing = [c for c in candidates if c.name not in failed] or [c for c in candidates if c.name == "float"]
    best = min(passing, key=lambda c: c.cost)
    several = "the cheapest variant that passes the release gate" if others else "the only variant"
    parts = [f"{best.name}: {several}, {_cost(best)}"]
    if best.name != "float":
        parts.append(_why_it_passes(best, recordings, groups, settings))
    parts += [f"{name} {reason}" for name, reason in failed.items() if name != best.name]
    underpowered = [name for name, what in unclear.items() if what]
    if underpowered:
        texts = [
            f"the {_LOSSES[what]} of {', '.join(n for n in underpowered if what in unclear[n])}" for what in _LOSSES
        ]
        used = [
            text for what, text in zip(_LOSSES, texts, strict=True) if any(what in names for names in unclear.values())
        ]
        parts.append(
            f"validation is too small ({counted(recordings, 'recording')} of one species in {counted(groups, 'group')}) to "
            f"measure {', '.join(used)}: "
            "agreement with the float32 model decided"
        )
    return GateDecision(best.name, "; ".join(parts), underpowered, failed)


_LOSSES = {
    "macro-F1": "loss of macro-F1",
    "recall of the detections": "loss of recall",
    "false alarms": "ratio of false alarms",
}
"""What cannot be measured, by the name of the criterion."""


def _failure(c: Candidate, settings: GateSettings) -> str | None:
    """Return why a variant fails; None if it passes."""
    criteria = _criteria(c, settings)
    for criterion in criteria:
        if criterion.fails_in_any_case:
            return criterion.failure(at_least=True)
    for criterion in criteria:
        if not criterion.is_underpowered and criterion.bounds and criterion.bounds.high > criterion.limit:
            return criterion.failure(at_least=False)
    if any(criterion.is_underpowered for criterion in criteria) and c.agreement < settings.min_agreement:
        return _agreement(c, settings)
    return None


def _agreement(c: Candidate, settings: GateSettings) -> str:
    return (
        f"detects the same species as the float32 model in {c.agreement:.4f} of the validation windows "
        f"(at least {settings.min_agreement:g} required)"
    )


def _cost(c: Candidate) -> str:
    """Return the cost as text; that of a head includes its backbone."""
    own = f"{c.multiply_adds / 1e6:.1f} million {c.bits}-bit multiply-adds per window"
    if c.backbone is None:
        return own
    sizes = f"files of {size_text(c.size)} (head) and {size_text(c.backbone.size)} (backbone)"
    if c.backbone.multiply_adds is None:
        return f"{own} without those of the backbone, which cannot be counted, {sizes}"
    total = (c.multiply_adds + c.backbone.multiply_adds) / 1e6
    return (
        f"{total:.1f} million {c.bits}-bit multiply-adds per window, {c.backbone.multiply_adds / 1e6:.1f} million of them in the backbone, "
        f"{sizes}"
    )


def _why_it_passes(best: Candidate, recordings: int, groups: int, settings: GateSettings) -> str:
    criteria = _criteria(best, settings)
    parts = []
    if any(criterion.is_underpowered for criterion in criteria):
        parts.append(f"it {_agreement(best, settings)}")
    measured = [criterion.result() for criterion in criteria if not criterion.is_underpowered]
    if measured:
        parts.append(
            f"compared with the float32 model, it has {', '.join(measured)} on {counted(recordings, 'validation recording')} of "
            f"one species in "
            f"{counted(groups, 'group')}"
        )
    return "; ".join(parts)
