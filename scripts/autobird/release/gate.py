"""Which variant is released: chosen on validation, by rules that do not depend on a measured time."""

from dataclasses import dataclass

from autobird.release.settings import GateSettings


@dataclass(frozen=True)
class Candidate:
    """A variant of the model as the gate sees it.

    Attributes:
        name: of the variant; `float` is the one it is compared with.
        f1_loss: macro-F1 by validation recording of float, minus its own; None if it is not defined.
        f1_loss_low: lower end of the interval of that difference; None if it is not known.
        f1_loss_high: upper end.
        agreement: share of validation windows in which it names the same species as float.
        multiply_adds: for one window.
        bits: width of the numbers that are multiplied.
        size: bytes of the file.
    """

    name: str
    f1_loss: float | None
    f1_loss_low: float | None
    f1_loss_high: float | None
    agreement: float
    multiply_adds: int
    bits: int
    size: int

    @property
    def cost(self) -> tuple[int, int, str]:
        """Multiply-adds times bit width, then bytes."""
        return self.multiply_adds * self.bits, self.size, self.name


@dataclass(frozen=True)
class Choice:
    """The released variant and why.

    Attributes:
        released: its name.
        reason: one sentence.
        underpowered: variants whose loss is known too imprecisely to judge it, so that agreement decided.
        failed: what the others failed by.
    """

    released: str
    reason: str
    underpowered: list[str]
    failed: dict[str, str]


def choose(candidates: list[Candidate], recordings: int, groups: int, settings: GateSettings) -> Choice:
    """The cheapest candidate that passes; float always does.

    A variant passes if the upper end of the interval of its loss of macro-F1 is at most `max_f1_loss`. Where half the
    width of that interval is larger than `max_f1_loss`, a variant without any loss would fail: the gate is
    underpowered, and the variant passes if it agrees with float in `min_agreement` of the windows. A variant whose whole
    interval lies above `max_f1_loss` fails, however wide it is.

    Args:
        candidates: all variants, `float` among them.
        recordings: number of validation recordings of exactly one species, which macro-F1 is about.
        groups: number of independent groups that they belong to.
        settings: the gate.
    """
    failed: dict[str, str] = {}
    underpowered = [c.name for c in candidates if c.name != "float" and _is_underpowered(c, settings)]
    for c in candidates:
        if c.name == "float":
            continue
        if c.f1_loss_low is not None and c.f1_loss_low > settings.max_f1_loss:
            failed[c.name] = (
                f"loses at least {c.f1_loss_low:.4f} of macro-F1 on validation, more than {settings.max_f1_loss:g}"
            )
        elif c.name in underpowered:
            if c.agreement < settings.min_agreement:
                failed[c.name] = (
                    f"agrees with float in {c.agreement:.4f} of the validation windows, less than {settings.min_agreement:g}"
                )
        elif c.f1_loss_high is not None and c.f1_loss_high > settings.max_f1_loss:
            failed[c.name] = (
                f"may lose up to {c.f1_loss_high:.4f} of macro-F1 on validation, more than {settings.max_f1_loss:g}"
            )
    best = min((c for c in candidates if c.name not in failed), key=lambda c: c.cost)
    cost = f"{best.multiply_adds / 1e6:.1f} million multiply-adds of {best.bits} bits"
    parts = [f"{best.name}: the cheapest of those that pass, {cost}"]
    if best.name != "float":
        parts.append(_basis(best, best.name in underpowered, recordings, groups, settings))
    parts += [f"{name} {why}" for name, why in failed.items()]
    if underpowered:
        parts.append(
            f"the gate was underpowered for {', '.join(underpowered)} ({recordings} validation recordings of one "
            f"species in {groups} groups): agreement with float decided"
        )
    return Choice(best.name, "; ".join(parts), underpowered, failed)


def _is_underpowered(c: Candidate, settings: GateSettings) -> bool:
    if c.f1_loss_low is None or c.f1_loss_high is None:
        return True
    return (c.f1_loss_high - c.f1_loss_low) / 2 > settings.max_f1_loss


def _basis(best: Candidate, underpowered: bool, recordings: int, groups: int, settings: GateSettings) -> str:
    if underpowered:
        return f"it agrees with float in {best.agreement:.4f} of the validation windows, at least {settings.min_agreement:g}"
    return (
        f"on {recordings} validation recordings of one species in {groups} groups its loss of macro-F1 against float is {best.f1_loss:.4f} "
        f"[{best.f1_loss_low:.4f}, {best.f1_loss_high:.4f}], at most {settings.max_f1_loss:g}"
    )
