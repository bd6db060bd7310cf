"""Which variant is released: chosen on validation, by rules that do not depend on a measured time."""

from dataclasses import dataclass

from autobird.release.settings import GateSettings


@dataclass(frozen=True)
class Candidate:
    """A variant of the model as the gate sees it.

    Attributes:
        name: of the variant; `float` is the one it is compared with.
        f1_loss: macro-F1 by validation recording of float, minus its own.
        agreement: share of validation windows in which it names the same species as float.
        multiply_adds: for one window.
        bits: width of the numbers that are multiplied.
        size: bytes of the file.
    """

    name: str
    f1_loss: float
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
    """The released variant, why, and what the others failed by."""

    released: str
    reason: str
    underpowered: bool
    failed: dict[str, str]


def choose(candidates: list[Candidate], recordings: int, settings: GateSettings) -> Choice:
    """The cheapest candidate that passes; float always does.

    Args:
        candidates: all variants, `float` among them.
        recordings: number of validation recordings.
        settings: the gate.
    """
    underpowered = recordings < settings.min_recordings
    failed: dict[str, str] = {}
    for c in candidates:
        if c.name == "float":
            continue
        if underpowered and c.agreement < settings.min_agreement:
            failed[c.name] = (
                f"agrees with float in {c.agreement:.4f} of the validation windows, less than {settings.min_agreement:g}"
            )
        elif not underpowered and c.f1_loss > settings.max_f1_loss:
            failed[c.name] = f"loses {c.f1_loss:.4f} of macro-F1 on validation, more than {settings.max_f1_loss:g}"
    best = min((c for c in candidates if c.name not in failed), key=lambda c: c.cost)
    if underpowered:
        basis = (
            f"{recordings} validation recordings are fewer than {settings.min_recordings}, too few to judge macro-F1, so "
            f"agreement with float decided: {best.agreement:.4f}"
        )
    else:
        change = f"{'loses' if best.f1_loss > 0 else 'gains'} {abs(best.f1_loss):.4f} of macro-F1 against float"
        basis = f"on {recordings} validation recordings it {change}"
    others = "".join(f"; {name} {why}" for name, why in failed.items())
    cost = f"{best.multiply_adds / 1e6:.1f} million multiply-adds of {best.bits} bits"
    reason = f"{best.name}: the cheapest of those that pass, {cost}; {basis}{others}"
    return Choice(best.name, reason, underpowered, failed)
