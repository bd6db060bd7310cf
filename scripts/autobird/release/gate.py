"""The release gate: the rule that selects the variant to release from its results on validation recordings.

The rule uses no measured times, so the same variant is selected on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from autobird.backbone.cost import BackboneCost
from autobird.release.settings import GateSettings


@dataclass(frozen=True)
class Candidate:
    """A variant of the model and its results on validation.

    Attributes:
        name: name of the variant; `float` is the float32 model that the others are compared with.
        f1_loss: macro-F1 per recording of the float32 model minus that of this variant; None if it is not defined.
        f1_loss_low: lower end of the confidence interval of `f1_loss`; None if it is unknown.
        f1_loss_high: upper end of that interval.
        agreement: share of windows in which this variant and the float32 model name the same species.
        multiply_adds: number of multiply-adds per window, without a backbone.
        bits: width of the numbers that are multiplied.
        size: size of the file, bytes.
        backbone: cost of the backbone that the model needs; None: it needs none.
    """

    name: str
    f1_loss: float | None
    f1_loss_low: float | None
    f1_loss_high: float | None
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
        underpowered: variants whose loss of macro-F1 has too wide an interval, so that agreement decided.
        failed: for each variant that did not pass, the reason.
        not_released: why no variant is released after all; "" if one is. `released` is then the one that the results are about.
    """

    released: str
    reason: str
    underpowered: list[str]
    failed: dict[str, str]
    not_released: str = ""


def select_variant(
    candidates: list[Candidate],
    recordings: int,
    groups: int,
    settings: GateSettings,
    refused: Mapping[str, str] | None = None,
) -> GateDecision:
    """Select the cheapest variant that passes; the float32 model always passes, unless it is refused.

    A variant passes if the upper end of the interval of its loss of macro-F1 is at most `max_f1_loss`. If half the width of
    this interval exceeds `max_f1_loss`, even a variant without any loss would fail: validation is too small for this
    comparison. The variant then passes if it names the same species as the float32 model in at least `min_agreement` of the
    windows. A variant whose whole interval lies above `max_f1_loss` fails in both cases.

    Args:
        candidates: all variants, including `float`.
        recordings: number of validation recordings of exactly one species, on which macro-F1 is computed.
        groups: number of independent groups of these recordings.
        settings: limits of the gate.
        refused: for each variant that must not be released for another reason, the reason. If that is all of them, the decision
            names the float32 model.
    """
    failed = dict(refused or {})
    underpowered = [c.name for c in candidates if c.name != "float" and _is_underpowered(c, settings)]
    for c in candidates:
        if c.name == "float" or c.name in failed:
            continue
        if c.f1_loss_low is not None and c.f1_loss_low > settings.max_f1_loss:
            failed[c.name] = (
                f"loses at least {c.f1_loss_low:.4f} of macro-F1 on validation (at most {settings.max_f1_loss:g} allowed)"
            )
        elif c.name in underpowered:
            if c.agreement < settings.min_agreement:
                failed[c.name] = (
                    f"names the same species as the float32 model in {c.agreement:.4f} of the validation windows "
                    f"(at least {settings.min_agreement:g} required)"
                )
        elif c.f1_loss_high is not None and c.f1_loss_high > settings.max_f1_loss:
            failed[c.name] = (
                f"may lose up to {c.f1_loss_high:.4f} of macro-F1 on validation (at most {settings.max_f1_loss:g} allowed)"
            )
    passing = [c for c in candidates if c.name not in failed] or [c for c in candidates if c.name == "float"]
    best = min(passing, key=lambda c: c.cost)
    others = len(candidates) > 1
    parts = [
        f"{best.name}: {'the cheapest variant that passes the release gate' if others else 'the only variant'}, {_cost(best)}"
    ]
    if best.name != "float":
        parts.append(_why_it_passes(best, best.name in underpowered, recordings, groups, settings))
    parts += [f"{name} {reason}" for name, reason in failed.items() if name != best.name]
    if underpowered:
        parts.append(
            f"validation is too small ({recordings} recordings of one species in {groups} groups) to measure the loss of macro-F1 of "
            f"{', '.join(underpowered)}: agreement with the float32 model decided"
        )
    return GateDecision(best.name, "; ".join(parts), underpowered, failed)


def _cost(c: Candidate) -> str:
    """Return the cost as text; that of a head includes its backbone."""
    own = f"{c.multiply_adds / 1e6:.1f} million {c.bits}-bit multiply-adds per window"
    if c.backbone is None:
        return own
    sizes = f"files of {c.size / 1e6:.1f} MB (head) and {c.backbone.size / 1e6:.1f} MB (backbone)"
    if c.backbone.multiply_adds is None:
        return f"{own} without those of the backbone, which cannot be counted, {sizes}"
    total = (c.multiply_adds + c.backbone.multiply_adds) / 1e6
    return (
        f"{total:.1f} million {c.bits}-bit multiply-adds per window, {c.backbone.multiply_adds / 1e6:.1f} million of them in the backbone, "
        f"{sizes}"
    )


def _is_underpowered(c: Candidate, settings: GateSettings) -> bool:
    """Return whether the interval of the loss is too wide to compare it with `max_f1_loss`."""
    if c.f1_loss_low is None or c.f1_loss_high is None:
        return True
    return (c.f1_loss_high - c.f1_loss_low) / 2 > settings.max_f1_loss


def _why_it_passes(best: Candidate, underpowered: bool, recordings: int, groups: int, settings: GateSettings) -> str:
    if underpowered:
        return (
            f"it names the same species as the float32 model in {best.agreement:.4f} of the validation windows "
            f"(at least {settings.min_agreement:g} required)"
        )
    return (
        f"compared with the float32 model, it loses {best.f1_loss:.4f} [{best.f1_loss_low:.4f}, {best.f1_loss_high:.4f}] of macro-F1 on "
        f"{recordings} validation recordings of one species in {groups} groups (upper end: at most {settings.max_f1_loss:g} allowed)"
    )
