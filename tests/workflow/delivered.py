"""What a bundle should answer, and scores computed from its answers and the true labels without the code of the evaluation."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support, roc_auc_score

from autobird.predict.classification import Calibration, smoothed


def predictions(run: Path, root: Path, recordings: list[str]) -> dict[str, Any]:
    """The output of `autobird predict --json --windows` for each recording."""
    files = [str(root / name) for name in recordings]
    command = ["-m", "autobird.cli", "predict", str(run / "release/bundle"), *files, "--json", "--windows"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    return dict(zip(recordings, json.loads(done.stdout)["files"], strict=True))


def scores(run: Path, root: Path, truth: dict[str, set[str]]) -> dict[str, dict[str, float]]:
    """Test scores per recording and per window, computed from the JSON only.

    Args:
        run: folder of the run.
        root: folder of the recordings.
        truth: the true species of each recording.
    """
    labels = json.loads((run / "dataset/labels.json").read_text())
    index = pd.read_parquet(run / "dataset/index.parquet")
    index = index[index["recording_split"] == "test"]
    predicted = predictions(run, root, sorted(index["recording"].unique()))
    by_recording = [
        (
            found["probabilities"],
            {d["species"] for d in found["detections"]},
            truth[name],
            set(labels),
        )
        for name, found in predicted.items()
        if found["species"]
    ]
    by_window = []
    for name, rows in index.groupby("recording"):
        windows = {round(w["start"] * 16000): w for w in predicted[name]["windows"]}
        assert sorted(windows) == sorted(rows["start"])
        for row in rows.itertuples():
            w = windows[row.start]
            assert w["quiet"] == row.quiet
            if not w["quiet"]:
                known = (set(labels) if row.default == "absent" else set(row.absent)) - set(row.unknown) | set(
                    row.present
                )
                by_window.append((w["probabilities"], set(w["detected"]), set(row.present), known))
    return {"by_recording": _scores(by_recording, labels), "by_window": _scores(by_window, labels)}


def _scores(items: list[tuple[Any, ...]], labels: list[str]) -> dict[str, float]:
    """Return the scores of items: probabilities, detected, present and known species."""
    single = [
        (next(iter(i[2])), max(sorted(i[3]), key=lambda name: i[0][name]))
        for i in items
        if len(i[2]) == 1 and 2 * (len(i[3]) - 1) >= len(labels) - 1
    ]
    p = np.array([[i[0][name] for name in labels] for i in items])
    detected, present, known = (np.array([[name in i[k] for name in labels] for i in items]) for k in (1, 2, 3))
    of_species = [(present[rows, s], p[rows, s], detected[rows, s]) for s, rows in enumerate(known.T)]
    occurring = [values for values in of_species if values[0].any()]
    mixed = [values for values in occurring if not values[0].all()]
    precision, recall, f1, _ = precision_recall_fscore_support(
        present[known], detected[known], average="binary", zero_division=np.nan
    )
    truth, guess = [a for a, _ in single], [b for _, b in single]
    macro_f1 = f1_score(truth, guess, average="macro", labels=sorted(set(truth)), zero_division=0) if single else np.nan
    return {
        "macro_f1": macro_f1,
        "top1": float(np.mean([a == b for a, b in single])) if single else np.nan,
        "cmap": float(np.mean([average_precision_score(y, probability) for y, probability, _ in occurring])),
        "auroc": float(np.mean([roc_auc_score(y, probability) for y, probability, _ in mixed])),
        "detection_precision": precision,
        "detection_recall": recall,
        "detection_f1": f1,
        "detection_macro_f1": float(np.mean([f1_score(y, found, zero_division=0) for y, _, found in occurring])),
    }


def assert_delivered(run: Path, root: Path, truth: dict[str, set[str]]) -> None:
    """Check that the scores of stage `evaluate` equal those computed from the output of `autobird predict`."""
    test = json.loads((run / "evaluation/metrics.json").read_text())["test"]
    for level, found in scores(run, root, truth).items():
        for metric, value in found.items():
            evaluated = test[level][metric]
            expected = np.nan if evaluated is None else evaluated["value"]
            np.testing.assert_allclose(value, expected, atol=2e-6, err_msg=f"{metric} {level}")


def answered_probabilities(calibration: Calibration, rows: pd.DataFrame) -> NDArray[np.float64]:
    """Return the probabilities that a bundle should answer for the windows of one recording.

    Args:
        calibration: that of the bundle.
        rows: rows of `predictions.parquet` of the recording, without quiet windows.
    """
    calibrated = np.stack(rows["logits"].to_list()).astype(np.float64) * calibration.scale + calibration.offset
    p = special.expit(calibrated) if calibration.outputs == "independent" else special.softmax(calibrated, axis=1)
    return smoothed(p, np.zeros(len(p), np.int64), rows["number"].to_numpy(np.int64), calibration.smoothing)
