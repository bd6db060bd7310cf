"""Stage `latency`: measure how fast the variants and the torch network run on this machine.

Measured times differ between machines and between runs, so nothing is selected by them.
"""

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autobird.backbone.base import Backbone, BackboneInfo
from autobird.backbone.load import load_recorded
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.model.trained import load_trained
from autobird.predict.graph import EMBEDDING, INPUT, open_session
from autobird.release.settings import LatencySettings

_ROUNDS = 7
"""Number of rounds; each function is measured once per round."""


def _call_rate(function: Callable[[], object], seconds: float) -> float:
    """Return calls per second, measured for `seconds`."""
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        function()
        calls += 1
    return calls / elapsed


def call_rates(functions: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the median over all rounds of each function's calls per second.

    The functions alternate within a round, so that a disturbance by other processes affects all of them.

    Args:
        functions: the functions to measure, by name.
        seconds: duration of one measurement.
    """
    for function in functions.values():
        function()  # the first call is slower: memory is allocated
    rounds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(_ROUNDS):
        for name, function in functions.items():
            rounds[name].append(_call_rate(function, seconds))
    return {name: round(statistics.median(values), 1) for name, values in rounds.items()}


def example_input(model: dict[str, Any]) -> tuple[str, NDArray[np.float32]]:
    """Return the name of the input of the networks, and random values of a window for it.

    Args:
        model: content of `model.json`.
    """
    rng = np.random.default_rng(0)
    if backbone := model.get("backbone"):
        return EMBEDDING, rng.normal(0, 1, (1, backbone["width"])).astype(np.float32)
    return INPUT, rng.normal(-8, 3, (1, 1, model["features"]["mels"], model["frames"])).astype(np.float32)


def load_optional(model: dict[str, Any], file: str | None) -> Backbone | None:
    """Return the backbone of a model; None if it needs none, or with a warning if it cannot be loaded.

    Args:
        model: content of `model.json`.
        file: path of the backbone's file, if it is not found without it.
    """
    if not model.get("backbone"):
        return None
    try:
        return load_recorded(BackboneInfo.model_validate(model["backbone"]), file)
    except AutobirdError as error:
        log.warning("measured without the backbone: %s", error)
        return None


def embedding_of_a_window(backbone: Backbone, windows: int) -> Callable[[], NDArray[np.float32]]:
    """Return a function that computes the embedding of a window of random samples; shape (1, width).

    Args:
        backbone: computes it.
        windows: number of backbone windows in a window of the run.
    """
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, (windows, backbone.info.window_samples)).astype(np.float32)
    return lambda: backbone.embed(samples).mean(axis=0, keepdims=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--variants", type=Path, nargs="+", required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--backbone", nargs="?", help="file of the backbone, if it is not found without it")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(LatencySettings, args.settings)
    with stage("latency", args, [args.output]):
        model = read_json(args.model)
        network, _ = load_trained(model, args.weights)
        network.eval()
        torch.set_num_threads(1)
        name, x = example_input(model)
        backbone = load_optional(model, args.backbone or None)
        # What computes the input in each call: for a model on a backbone the backbone, which takes nearly all of the time.
        inputs = embedding_of_a_window(backbone, model["backbone_cost"]["windows"]) if backbone else lambda: x
        with torch.inference_mode():
            functions: dict[str, Callable[[], object]] = {"eager": lambda: network(torch.from_numpy(inputs()))}
            for path in args.variants:
                session = open_session(path, 1)
                functions[path.stem] = lambda s=session: s.run(None, {name: inputs()})  # type: ignore[misc]
            speed = call_rates(functions, settings.latency_seconds)
        write_json(
            args.output,
            {
                "unit": "windows per second; one thread, one window at a time; median of alternating measurements",
                "machine": platform.processor() or platform.machine(),
                "windows_per_second": speed,
                "backbone": (model.get("backbone") or {}).get("name"),
                "includes_backbone": backbone is not None,
                "times_eager": {name: round(v / speed["eager"], 2) for name, v in speed.items()},
            },
        )
        log.info("%s", speed)


if __name__ == "__main__":
    run(main)
