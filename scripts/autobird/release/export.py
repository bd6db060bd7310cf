"""Stage `export`: write the trained network as a float32 ONNX file."""

from collections.abc import Sequence
from pathlib import Path

from autobird.core.files import read_json
from autobird.core.stage import log, parser, run, stage
from autobird.model.trained import load_trained
from autobird.release.onnx_files import export, export_head


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("export", args, [args.output]):
        model = read_json(args.model)
        network, _ = load_trained(model, args.weights)
        if backbone := model.get("backbone"):
            export_head(network, backbone["width"], args.output)
        else:
            export(network, model["features"]["mels"], model["frames"], args.output)
        log.info("%d bytes", args.output.stat().st_size)


if __name__ == "__main__":
    run(main)
