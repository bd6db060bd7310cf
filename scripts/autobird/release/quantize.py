"""Stage `quantize`: static int8 (QDQ, per channel), calibrated on training windows; the same answer on every x86 CPU.

Activations are 8-bit unsigned, weights 8-bit signed. Without VNNI instructions, ONNX Runtime multiplies such pairs by
VPMADDUBSW, which adds two products in 16 bits and saturates: 2 x 255 x 127 = 64,770 is more than 32,767. Weights
therefore keep to -64 to 64 (`reduce_range`), as 2 x 255 x 64 = 32,640 fits. Products of two activations (attention)
are unsigned on both sides; these are widened to 16 bits before they are multiplied, which is exact on all CPUs.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from autobird.core.files import atomic, read_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.model.data import WindowDataset
from autobird.predict.graph import INPUT
from autobird.release.onnx_files import serialise
from autobird.release.settings import QuantizeSettings

_OPERATORS = ["Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool"]
"""What becomes int8. The normalisation of the input stays float, as its range is wide."""


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Hands the calibrator training windows, spread evenly over the training split."""

    def __init__(self, windows: WindowDataset, count: int) -> None:
        rows = np.unique(np.linspace(0, len(windows) - 1, min(count, len(windows))).round().astype(np.int64))
        self._batches: Iterator[Any] = (
            {INPUT: np.ascontiguousarray(windows.take(rows[i : i + 16])[0].numpy())} for i in range(0, len(rows), 16)
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None at the end."""
        return next(self._batches, None)


def quantize(source: Path, target: Path, windows: WindowDataset, count: int) -> None:
    """Write the int8 version of `source` to `target`, the same bytes each time."""
    with tempfile.TemporaryDirectory() as folder, atomic(target) as temporary:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(temporary),
            Calibration(windows, count),
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
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--source", type=Path, required=True, help="float ONNX")
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
        log.info("%d bytes became %d", args.source.stat().st_size, args.output.stat().st_size)


if __name__ == "__main__":
    run(main)
