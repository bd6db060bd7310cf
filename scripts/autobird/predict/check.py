"""Check a bundle: replay its example clip, and compare the probabilities with the stored ones."""

import json
import math
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from autobird.audio.audio_file import UnusableAudio
from autobird.core.errors import AutobirdError
from autobird.predict.answer_options import AS_RELEASED
from autobird.predict.bundle import REMEDY, Bundle
from autobird.predict.classifier import Classifier

CLIP, EXPECTED = "example.flac", "expected.json"
"""File names: the example clip, and its probabilities on the machine that made the bundle."""

TOLERANCE = 0.02
"""Largest acceptable difference of a probability from the expected one.

Measured on the 923 windows of a small demo: up to 0.017 if the int8 graph is computed in float32 instead of int8 (products of
the limited weights are the same on all CPUs); 0.055 in the median window and up to 0.47 if int8 products saturate. The
probabilities in `expected.json` are rounded to 0.001.
"""

_INSTRUCTION_SETS = {
    "AVX2": ("avx2",), "AVX-512": ("avx512f",), "VNNI": ("avx512_vnni", "avx_vnni"), "AMX": ("amx_int8",),
    "DOTPROD": ("asimddp",), "I8MM": ("i8mm",),
}  # fmt: skip
"""Instruction sets for int8 products, and the flags under which Linux lists them in /proc/cpuinfo."""


def expected_prediction(folder: Path, backbone: Path | str | None = None) -> dict[str, Any]:
    """Classify the example clip of a bundle, and return the content of `expected.json`.

    Args:
        folder: the bundle.
        backbone: file of the backbone, see `Classifier`.
    """
    prediction = Classifier(folder, backbone=backbone, options=AS_RELEASED).predict(folder / CLIP)
    return {
        "clip": CLIP,
        "duration": round(prediction.duration, 3),
        "probabilities": [[round(float(v), 3) for v in row] for row in prediction.probabilities],
        "tolerance": TOLERANCE,
    }


@dataclass(frozen=True)
class Replay:
    """The result of classifying the example clip on this machine.

    Attributes:
        bundle: the bundle.
        difference: largest difference of a probability from the expected one; infinite if the numbers of windows or species
            differ.
        tolerance: largest acceptable difference.
    """

    bundle: Bundle
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the probabilities on this machine are the expected ones, within the tolerance."""
        return self.difference <= self.tolerance

    def failure(self) -> str:
        """Return the error for probabilities that are not the expected ones, with the remedy."""
        return (
            f"{self.bundle.folder}: the example clip does not give the expected probabilities on this machine (difference "
            f"{self.difference:.4f}, tolerance {self.tolerance:g}; {describe_machine()}); do not use the bundle here: recreate "
            "it with this version of Autobird, or install the version of onnxruntime that it was made with"
        )


def replay(folder: Path, backbone: Path | None = None) -> Replay:
    """Classify the example clip of a bundle, and compare the probabilities with the expected ones.

    Args:
        folder: the bundle.
        backbone: file of the backbone, see `Classifier`.

    Raises:
        AutobirdError: the bundle is incomplete, its clip or expected probabilities are missing or damaged, or its backbone is not
            installed.
    """
    Bundle.load(folder)
    _read_expected(folder)  # reports a damaged file before the network is loaded
    return replay_with(Classifier(folder, backbone=backbone, options=AS_RELEASED))


def replay_with(classifier: Classifier) -> Replay:
    """Do as `replay` with a loaded bundle; its thresholds do not matter."""
    bundle = classifier.bundle
    clip, expected, tolerance = _read_expected(bundle.folder)
    try:
        found = classifier.predict(clip).probabilities
    except UnusableAudio as error:
        raise AutobirdError(f"{clip} cannot be read ({error}); {REMEDY}") from error
    difference = math.inf
    if found.shape == expected.shape:
        # NaN must fail the comparison, so it counts as an infinite difference.
        difference = float(np.nan_to_num(np.abs(found - expected), nan=math.inf).max(initial=0.0))
    return Replay(bundle, difference, tolerance)


def _read_expected(folder: Path) -> tuple[Path, NDArray[np.float64], float]:
    """Return the clip, its expected probabilities of shape (windows, species), and the tolerance."""
    file = folder / EXPECTED
    if not file.is_file():
        raise AutobirdError(f"{folder}: {EXPECTED} is missing; {REMEDY}")
    try:
        text = json.loads(file.read_text(encoding="utf-8"))
        clip = folder / Path(text["clip"]).name
        probabilities = np.array(text["probabilities"], np.float64)
        # Old bundles have a tolerance of 0.05, which was chosen before differences were measured.
        tolerance = min(float(text["tolerance"]), TOLERANCE)
    except (KeyError, TypeError, ValueError) as error:
        raise AutobirdError(f"{file} is damaged ({error!r}); {REMEDY}") from error
    if probabilities.ndim != 2 or not probabilities.size or not np.isfinite(probabilities).all() or not tolerance > 0:
        raise AutobirdError(f"{file} is damaged (it has no valid probabilities or no tolerance); {REMEDY}")
    if not clip.is_file():
        raise AutobirdError(f"{folder}: {clip.name} is missing; {REMEDY}")
    return clip, probabilities, tolerance


def describe_machine() -> str:
    """Return the CPU, its instruction sets for int8 products (on Linux), and the version of ONNX Runtime."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else ():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name":
            model = value
        elif key in ("flags", "Features"):
            flags = set(value.split())
            break
    known = [name for name, needed in _INSTRUCTION_SETS.items() if not flags.isdisjoint(needed)]
    return f"{model} ({', '.join([platform.machine(), *known])}), ONNX Runtime {onnxruntime.__version__}"


def print_check(folder: Path, backbone: Path | None = None) -> int:
    """Check a bundle on this machine and print the result.

    Args:
        folder: the bundle.
        backbone: file of the backbone, see `Classifier`.

    Returns:
        exit status: 0 if the probabilities are the expected ones, 1 if they differ or the bundle is incomplete.
    """
    try:
        result = replay(folder, backbone)
    except AutobirdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"bundle:     {folder} ({result.bundle.name}, {result.bundle.variant}, {result.bundle.fingerprint})")
    if info := result.bundle.backbone:
        print(f"backbone:   {info.name} ({info.licence}), sha256 {info.sha256}")
    print(f"machine:    {describe_machine()}")
    print(
        f"difference: at most {result.difference:.4f} from the expected probabilities, tolerance {result.tolerance:g}"
    )
    if result.passed:
        print("ok: the example clip gives the expected probabilities on this machine")
        return 0
    print(f"error: {result.failure()}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(print_check(*map(Path, sys.argv[1:])))
