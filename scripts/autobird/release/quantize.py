"""Stage `quantize`: static post-training quantization to int8 (QDQ, per channel), calibrated on training windows.

The result must not depend on the type of x86 CPU. Activations are unsigned 8-bit integers, weights are signed 8-bit
integers. On a CPU without VNNI instructions, ONNX Runtime multiplies such pairs with VPMADDUBSW. This instruction adds
two products in 16 bits and saturates: 2 x 255 x 127 = 64,770 exceeds 32,767. Weights are therefore limited to -64 to 64
(`reduce_range`): 2 x 255 x 64 = 32,640 fits. In products of two activations (attention) both factors are unsigned. ONNX
Runtime widens them to 16 bits before it multiplies, which is exact on all CPUs.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from autobird.core.files import atomic, read_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.model.data import WindowDataset
from autobird.predict.graph import INPUT
from autobird.release.onnx_files import serialise
from autobird.release.settings import QuantizeSettings

_OPERATORS = ["Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool"]
"""Operators that are quantized. The normalisation of the input stays float32, because its values have a wide range."""


_NEGATIVE_SHARE = 0.25
"""Largest share of negative windows among those that the ranges are measured on, so that hours of noise leave room for the species."""


def calibration_rows(windows: WindowDataset, count: int) -> NDArray[np.int64]:
    """Return which windows the ranges of the activations are measured on, in order; `count`, or all if there are fewer.

    They are spread evenly over the windows with species, and over the negative ones.
    """
    is_negative = ~windows.labels.present.any(axis=1)
    positive, negative = np.flatnonzero(~is_negative), np.flatnonzero(is_negative)
    of_negatives = min(len(negative), max(round(_NEGATIVE_SHARE * count), count - len(positive)))
    return np.sort(np.concatenate([_spread(positive, count - of_negatives), _spread(negative, of_negatives)]))


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    at = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)
    return rows[np.unique(at)] if len(rows) and count else rows[:0]


class WindowReader(CalibrationDataReader):  # type: ignore[misc]
    """Gives ONNX Runtime's calibrator batches of training windows; see `calibration_rows`."""

    def __init__(self, windows: WindowDataset, count: int) -> None:
        rows = calibration_rows(windows, count)
        self._batches: Iterator[Any] = (
            {INPUT: np.ascontiguousarray(windows.take(rows[i : i + 16]).numpy())} for i in range(0, len(rows), 16)
        )

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, or None after the last one."""
        return next(self._batches, None)


def quantize(source: Path, target: Path, windows: WindowDataset, count: int) -> None:
    """Write the int8 version of an ONNX file; equal inputs give equal bytes.

    Args:
        source: float32 ONNX file.
        target: file to write.
        windows: training windows; the ranges of the activations are measured on some of them.
        count: number of windows to use.
    """
    with tempfile.TemporaryDirectory() as folder, atomic(target) as temporary:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(temporary),
            WindowReader(windows, count),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=_OPERATORS,
            calibrate_method=CalibrationMethod.MinMax,
        )
        model = onnx.load(temporary)
        del model.metadata_props[:]
        temporary.write_bytes(serialise(model))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--source", type=Path, required=True, help="float32 ONNX file")
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(QuantizeSettings, args.settings)
    with stage("quantize", args, [args.output]):
        model = read_json(args.model)
        windows = WindowDataset.from_split(args.index, "train", model["labels"], args.shards, model["frames"])
        quantize(args.source, args.output, windows, settings.calibration_windows)
        log.info("size reduced from %d to %d bytes", args.source.stat().st_size, args.output.stat().st_size)


if __name__ == "__main__":
    run(main)
