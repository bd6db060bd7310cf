"""Stage `train_head`: fit a head on the embeddings of the training windows."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import safetensors.numpy

from autobird.audio.settings import MelSettings
from autobird.backbone.base import BackboneInfo
from autobird.backbone.cost import BackboneCost
from autobird.backbone.known import BackboneKey
from autobird.backbone.load import load_recorded
from autobird.core.files import read_json, write_bytes, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import write_csv
from autobird.model.embeddings import EmbeddedWindows
from autobird.model.head_fit import fit_head
from autobird.model.head_prior import Prior
from autobird.model.head_selection import choose_weight_decay, evaluate_candidates
from autobird.model.outputs import check_outputs, check_windows, warn_of_species_without_windows
from autobird.model.settings import HeadSettings, TrainSettings

_DIGITS = 6
"""Decimals in the table of candidates, so that the last bits of a sum do not show."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--labels", type=Path, required=True)
    p.add_argument("--embeddings", type=Path, nargs="+", required=True, help="arrays of all batches")
    p.add_argument(
        "--front-end", required=True, help="mel settings, as JSON; the filters and the drift test use mel frames"
    )
    p.add_argument("--backbone", required=True, help="settings of the backbone, as JSON")
    p.add_argument("--file", nargs="?", help="file of the backbone, if it is not found without it")
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument(
        "--history", type=Path, required=True, help="table of the strengths of the weight decay that were compared"
    )
    args = p.parse_args(argv)
    settings = settings_of(HeadSettings, args.settings)
    with stage("train_head", args, [args.weights, args.model, args.history]):
        labels: list[str] = read_json(args.labels)
        check_outputs(settings.outputs, labels)
        windows = EmbeddedWindows.from_split(args.index, "train", labels, args.embeddings, settings.outputs)
        check_windows(len(windows), "train")
        warn_of_species_without_windows(windows.present, labels)
        width = windows.embeddings.shape[1]
        key = settings_of(BackboneKey, args.backbone)
        backbone = BackboneInfo(**key.model_dump(exclude_none=True), width=width)
        log.info(
            "%d training windows, %d of them negative, %d species, embeddings of %s",
            len(windows), windows.negative.sum(), len(labels), backbone.name,
        )  # fmt: skip

        loaded = load_recorded(backbone, args.file or None)
        prior = Prior.of(loaded, labels, settings.backbone_prior)
        log.info("the backbone knows %d of the %d species", int(prior.known.sum()), len(labels))
        candidates = []
        weight_decay = settings.weight_decay
        if weight_decay == "auto":
            candidates = evaluate_candidates(windows, len(labels), settings, prior)
            weight_decay = choose_weight_decay(candidates)
        head = fit_head(windows, len(labels), settings, weight_decay, prior)
        tensors = head.tensors()
        log.info("weight decay %g", weight_decay)

        write_bytes(args.weights, safetensors.numpy.save(tensors))
        columns = [field.name for field in dataclasses.fields(candidates[0])] if candidates else ["weight_decay"]
        rows = [dataclasses.asdict(c) for c in candidates] or [{"weight_decay": weight_decay}]
        write_csv(args.history, pd.DataFrame(rows, columns=columns).round(_DIGITS))
        layers = (value.size for name, value in tensors.items() if name.startswith("layers."))
        features = settings_of(MelSettings, args.front_end)
        write_json(
            args.model,
            {
                "labels": labels,
                "outputs": settings.outputs,
                "features": features.model_dump(mode="json"),
                "backbone": backbone.model_dump(mode="json", exclude={"licence", "source"}),
                "backbone_cost": BackboneCost.of(loaded, features).model_dump(mode="json"),
                "parameters": sum(layers),
                "weight_decay": weight_decay,
                "known_to_backbone": [name for name, known in zip(labels, prior.known, strict=True) if known],
                "train": TrainSettings(architecture="head", **settings.model_dump()).model_dump(mode="json"),
            },
        )


if __name__ == "__main__":
    run(main)
