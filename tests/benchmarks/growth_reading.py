"""Read the windows of a large data set as training, scoring and evaluation do: `python -m tests.benchmarks.growth_reading STEP FOLDER`.

`FOLDER` holds the tables of `growth_tables` and the outputs of the stage `dataset`. The shards are short (the windows begin every 2 frames),
so that peak memory is that of tables, labels and logits, and not of the pages of shards that happen to be in memory. Network and logits
are simulated: time is that of everything else. Runs with former versions of the package, too.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

FRAMES, MELS = 157, 64
READ = 50_000
"""Windows that the training step reads, in random order."""


class SimulatedGraph:
    """Logits without a network."""

    species = 0
    is_head = False

    def __init__(self, path: Path) -> None:
        self._logits = np.random.default_rng(0).normal(-3, 1, (1024, self.species)).astype(np.float32)

    def logits(self, windows: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return logits of at most 1,024 windows. They are random: equal ones would take less memory while they are written."""
        return self._logits[: len(windows)].copy()


def prepare(folder: Path) -> None:
    """Write the shards, and the description of a model."""
    (folder / "shards").mkdir(exist_ok=True)
    for path in sorted((folder / "mels").iterdir()):
        last = int(pd.read_parquet(path, columns=["first_frame"])["first_frame"].max())
        np.save(folder / f"shards/{path.stem}.npy", np.zeros((last + FRAMES, MELS), np.float16))
    labels = json.loads((folder / "labels.json").read_text())
    model = {"labels": labels, "frames": FRAMES, "features": {"sample_rate": 16000}}
    (folder / "model.json").write_text(json.dumps(model))


def train(folder: Path, labels: list[str]) -> None:
    """Read the training split, and some of its windows in the order of an epoch."""
    from autobird.model.data import WindowDataset, epoch_order
    from autobird.model.settings import TrainSettings

    windows = WindowDataset.from_split(
        folder / "index.parquet", "train", labels, sorted((folder / "shards").iterdir()), FRAMES
    )
    order = epoch_order(windows, TrainSettings(), np.random.default_rng(0))[:READ]
    for at in range(0, len(order), 64):
        windows.take(order[at : at + 64])
        windows.targets(order[at : at + 64])


def score(folder: Path, labels: list[str]) -> None:
    """Run the stage `score`, and print the number of rows that it writes."""
    from autobird.release import score as stage

    SimulatedGraph.species = len(labels)
    stage.Graph = SimulatedGraph  # type: ignore[assignment,misc]
    files = {
        "variant": "model.json",
        "model": "model.json",
        "index": "index.parquet",
        "output": "predictions.parquet",
        "log": "log",
    }
    options = [text for name, file in files.items() for text in (f"--{name}", str(folder / file))]
    for name in ("shards", "recordings"):
        options += [f"--{name}", *map(str, sorted((folder / name).iterdir()))]
    stage.main(options)
    print(pq.ParquetFile(folder / "predictions.parquet").metadata.num_rows)


def evaluate(folder: Path, labels: list[str]) -> None:
    """Compute the probabilities of the windows and recordings of the test split."""
    from autobird.core.tables import read_table
    from autobird.evaluation.predictions import predictions_of_split
    from autobird.predict.classification import Calibration

    table = read_table(folder / "predictions.parquet")
    predictions_of_split(table, labels, "test", Calibration.none("softmax", len(labels), "mean"))


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("step", choices=["prepare", "train", "score", "evaluate"])
    p.add_argument("folder", type=Path)
    args = p.parse_args()
    if args.step == "prepare":
        prepare(args.folder)
    else:
        steps = {"train": train, "score": score, "evaluate": evaluate}
        steps[args.step](args.folder, json.loads((args.folder / "labels.json").read_text()))


if __name__ == "__main__":
    main()
