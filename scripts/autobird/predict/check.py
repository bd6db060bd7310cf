"""A bundle's canned clip with its expected answer, and whether this machine gives that answer."""

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
from autobird.predict.bundle import Bundle
from autobird.predict.classifier import Classifier

CLIP, EXPECTED = "example.flac", "expected.json"
"""The canned clip of a bundle, and the answer that the bundle gave to it where it was made."""

TOLERANCE = 0.02
"""Largest difference of a probability that is no fault.

Measured on the 923 windows of a small demo: the int8 graph computed in float, up to 0.017 (the products of bounded
weights themselves are the same on all CPUs); int8 products that saturate, 0.055 in the median window and up to 0.47.
The probabilities in `expected.json` are rounded to 0.001.
"""

_ANEW = "copy or make the bundle anew"

_INSTRUCTIONS = {
    "AVX2": ("avx2",), "AVX-512": ("avx512f",), "VNNI": ("avx512_vnni", "avx_vnni"), "AMX": ("amx_int8",),
    "DOTPROD": ("asimddp",), "I8MM": ("i8mm",),
}  # fmt: skip
"""Instruction sets that int8 products use, and the flags by which Linux reports them."""


def expected_answer(folder: Path) -> dict[str, Any]:
    """What the bundle in `folder` says about its own clip, as `expected.json` holds it."""
    prediction = Classifier(folder).predict(folder / CLIP)
    return {
        "clip": CLIP,
        "duration": round(prediction.duration, 3),
        "probabilities": [[round(float(v), 3) for v in row] for row in prediction.probabilities],
        "tolerance": TOLERANCE,
    }


@dataclass(frozen=True)
class Replay:
    """The answer of this machine beside the expected one.

    Attributes:
        bundle: what was replayed.
        difference: largest difference of a probability; infinite where the numbers of windows or species differ.
        tolerance: largest difference that is no fault.
    """

    bundle: Bundle
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether this machine gives the expected answer."""
        return self.difference <= self.tolerance


def replay(folder: Path) -> Replay:
    """Let the bundle in `folder` answer its own clip.

    Raises:
        AutobirdError: the bundle is not whole, or its clip or its expected answer is missing or damaged.
    """
    bundle = Bundle.load(folder)
    clip, probabilities, tolerance = _expectation(folder)
    try:
        found = Classifier(folder).predict(clip).probabilities
    except UnusableAudio as error:
        raise AutobirdError(f"{clip} cannot be read ({error}); {_ANEW}") from error
    difference = math.inf
    if found.shape == probabilities.shape:
        # A probability that is not a number is no expected answer either.
        difference = float(np.nan_to_num(np.abs(found - probabilities), nan=math.inf).max(initial=0.0))
    return Replay(bundle, difference, tolerance)


def _expectation(folder: Path) -> tuple[Path, NDArray[np.float64], float]:
    """The clip, its expected probabilities of shape (windows, species), and the tolerance."""
    file = folder / EXPECTED
    if not file.is_file():
        raise AutobirdError(f"{folder} lacks {EXPECTED}; {_ANEW}")
    try:
        text = json.loads(file.read_text(encoding="utf-8"))
        clip = folder / Path(text["clip"]).name
        probabilities = np.array(text["probabilities"], np.float64)
        # Bundles made before the tolerance was measured allow 0.05.
        tolerance = min(float(text["tolerance"]), TOLERANCE)
    except (KeyError, TypeError, ValueError) as error:
        raise AutobirdError(f"{file} is damaged ({error!r}); {_ANEW}") from error
    if probabilities.ndim != 2 or not probabilities.size or not np.isfinite(probabilities).all() or not tolerance > 0:
        raise AutobirdError(f"{file} is damaged (it holds no probabilities or no tolerance); {_ANEW}")
    if not clip.is_file():
        raise AutobirdError(f"{folder} lacks {clip.name}; {_ANEW}")
    return clip, probabilities, tolerance


def machine() -> str:
    """The CPU, its instruction sets for int8 as far as they are known, and the version of ONNX Runtime."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else ():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name":
            model = value
        elif key in ("flags", "Features"):
            flags = set(value.split())
            break
    known = [name for name, needed in _INSTRUCTIONS.items() if not flags.isdisjoint(needed)]
    return f"{model} ({', '.join([platform.machine(), *known])}), ONNX Runtime {onnxruntime.__version__}"


def report(folder: Path) -> int:
    """Print whether this machine gives the expected answer; 0 if it does, 1 if not or if the bundle is not whole."""
    try:
        found = replay(folder)
    except AutobirdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"bundle:     {folder} ({found.bundle.name}, {found.bundle.variant}, {found.bundle.fingerprint})")
    print(f"machine:    {machine()}")
    print(f"difference: at most {found.difference:.4f} from the expected probabilities, tolerance {found.tolerance:g}")
    if found.passed:
        print("ok: this machine gives the expected answer")
        return 0
    print(
        f"error: {folder} does not give its expected answer on this machine (difference {found.difference:.4f}, "
        f"tolerance {found.tolerance:g}; {machine()}); do not use it here: make the bundle anew with this version "
        "of Autobird, or install the version of onnxruntime that it was made with",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(report(Path(sys.argv[1])))
