"""Stage `latency`: how fast the variants and the eager float network are on this machine, side by side.

Measured times differ from machine to machine and run to run; nothing is chosen by them.
"""

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.model.trained import load_trained
from autobird.predict.graph import INPUT, session
from autobird.release.settings import LatencySettings

_ROUNDS = 7
"""Rounds in which all candidates take turns."""


def _turn(once: Callable[[], object], seconds: float) -> float:
    """Calls per second over one turn."""
    calls, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < seconds:
        once()
        calls += 1
    return calls / took


def measure(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median calls per second of each, taken in turns so that a noisy moment hits all."""
    for once in calls.values():
        once()
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, once in calls.items():
            rounds[name].append(_turn(once, seconds))
    return {name: round(statistics.median(values), 1) for name, values in rounds.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--variants", type=Path, nargs="+", required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(LatencySettings, args.settings)
    with stage("latency", args, [args.output]):
        model = read_json(args.model)
        network, _ = load_trained(model, args.weights)
        network.eval()
        torch.set_num_threads(1)
        x = (
            np.random.default_rng(0)
            .normal(-8, 3, (1, 1, model["features"]["mels"], model["frames"]))
            .astype(np.float32)
        )
        tensor = torch.from_numpy(x)
        with torch.inference_mode():
            calls: dict[str, Callable[[], object]] = {"eager": lambda: network(tensor)}
            for path in args.variants:
                run_session = session(path, 1)
                calls[path.stem] = lambda s=run_session: s.run(None, {INPUT: x})  # type: ignore[misc]
            speed = measure(calls, settings.latency_seconds)
        write_json(
            args.output,
            {
                "unit": "windows per second, one thread, one window at a time, median of rounds taken in turns",
                "machine": platform.processor() or platform.machine(),
                "windows_per_second": speed,
                "times_eager": {name: round(v / speed["eager"], 2) for name, v in speed.items()},
            },
        )
        log.info("%s", speed)


if __name__ == "__main__":
    run(main)
