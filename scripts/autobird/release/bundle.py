"""Stage `bundle`: write the released variant, and all that is needed to predict with it, into one folder."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from autobird.audio.settings import FeatureSettings
from autobird.backbone.base import BackboneInfo
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_bytes, write_json, write_text
from autobird.core.hashing import file_digest
from autobird.core.memory_maps import memory_maps
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table
from autobird.evaluation.predictions import windows_to_predict
from autobird.predict.bundle import FORMAT, bundle_manifest
from autobird.predict.bundle_files import DESCRIPTION, GRAPH, MANIFEST
from autobird.predict.check import CLIP, EXPECTED, expected_prediction
from autobird.predict.classification import Calibration
from autobird.release.card import model_card
from autobird.release.card_crossval import read_crossval
from autobird.release.drift_reference import drift_reference, drift_table
from autobird.sources.licences import terms
from autobird.synth.encode import encode
from autobird.synth.plan import plan_species
from autobird.synth.scene import render

_EXAMPLE_SEED = 20
"""Seed of the synthesised example clip. A bundle holds no recording of the corpus."""


def example_clip() -> bytes:
    """Return a synthesised song of 6 to 9 seconds as FLAC; every call returns the same bytes."""
    plan = next(p for p in plan_species(_EXAMPLE_SEED, 0, 50) if 6 < p.duration < 9)
    return encode(render(plan)[0], plan.sample_rate, "flac")


def training_data(
    licences: dict[str, Any], backbone: BackboneInfo | None = None, teacher: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the number of used recordings by licence, and the terms that follow from all licences together.

    Args:
        licences: `licences.json` of the corpus.
        backbone: the pretrained network whose embeddings the model was trained on; its licence is inherited.
        teacher: the pretrained network that taught the model, as the bundle names it; its licence is inherited, too.
    """
    used = {name: entry["used"] for name, entry in licences["licences"].items() if entry["used"]}
    if teacher is not None:
        return {"recordings": used, "teacher": teacher["licence"], **terms(used, [teacher["licence"]])}
    if backbone is None:
        return {"recordings": used, **licences["training_data"]}
    return {"recordings": used, "backbone": backbone.licence, **terms(used, [backbone.licence])}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    for name in ("variants", "shards"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True)
    inputs = (
        "released", "calibration", "predictions", "model", "index", "comparison", "metrics", "counts", "leakage",
        "species", "catalogue", "attribution", "licences",
    )  # fmt: skip
    for name in inputs:
        p.add_argument(f"--{name}", type=Path, required=True)
    p.add_argument("--analysis", type=Path, nargs="*", default=[], help="analyses with a summary for the card")
    p.add_argument("--crossval", type=Path, nargs="?", help="crossval.json of the run, if there is one")
    p.add_argument("--name", required=True, help="name of the run")
    p.add_argument("--config", required=True, help="complete configuration as JSON, for provenance.json")
    p.add_argument("--backbone", nargs="?", help="file of the backbone, for a model that needs one")
    p.add_argument(
        "--origin", nargs="?", help="licence and source of the backbone as JSON, for a model that was made with one"
    )
    p.add_argument("--code", required=True, help="code fingerprints of all stages as JSON, for provenance.json")
    p.add_argument("--folder", type=Path, required=True)
    args = p.parse_args(argv)
    features = settings_of(FeatureSettings, args.settings)
    # The lock file is written next to the folder: users copy the folder, and it must hold only the bundle.
    with stage("bundle", args, [args.folder]):
        for stale in args.folder.iterdir() if args.folder.is_dir() else ():
            stale.unlink()  # left by an interrupted run; the bundle must hold only the files written below
        released = read_json(args.released)
        if released.get("not_released"):
            raise AutobirdError(released["not_released"])
        model = read_json(args.model)
        labels: list[str] = model["labels"]
        origin = json.loads(args.origin) if args.origin else {}
        backbone = BackboneInfo.model_validate(model["backbone"] | origin) if model.get("backbone") else None
        teacher: dict[str, Any] | None = model["teacher"] | origin if model.get("teacher") else None
        graph = next(v for v in args.variants if v.stem == released["released"])
        write_bytes(args.folder / GRAPH, graph.read_bytes())

        calibration = read_json(args.calibration)
        thresholds = calibration["thresholds"]
        network = Calibration.from_json(calibration)
        licences = read_json(args.licences)
        write_json(
            args.folder / DESCRIPTION,
            {
                "format": FORMAT,
                "name": args.name,
                "variant": released["released"],
                "fingerprint": (file_digest(graph) or "")[:16],
                "labels": labels,
                "features": features.model_dump(mode="json"),
                "outputs": network.outputs,
                "aggregation": network.aggregation,
                "smoothing": network.smoothing,
                "scale": network.scale.tolist(),
                "offset": network.offset.tolist(),
                "thresholds": network.thresholds.tolist(),
                "unknown_score": calibration["unknown_score"],
                "precision_thresholds": calibration["precision_thresholds"],
                "training_data": training_data(licences, backbone, teacher),
                "backbone": backbone and backbone.model_dump(mode="json"),
                **({"teacher": teacher} if teacher else {}),
            },
        )

        windows = windows_to_predict(read_table(args.index), labels)
        shards = memory_maps(args.shards)
        windows = windows[windows["split"] != "test"]
        table = drift_table(windows, read_table(args.predictions), shards, features, network)
        write_json(args.folder / "drift_reference.json", drift_reference(table))

        write_bytes(args.folder / "ATTRIBUTION.csv", args.attribution.read_bytes())
        catalogue = pq.read_table(args.catalogue, columns=["recording", "file_sha256"]).to_pandas()
        card = model_card(
            args.name, labels, read_json(args.metrics), pd.read_csv(args.comparison), released, read_json(args.counts),
            read_json(args.leakage), training_data(licences, backbone, teacher), pd.read_csv(args.species), backbone,
            model.get("known_to_backbone", ()),
            {file.stem: read_json(file)["summary"] for file in args.analysis}, teacher, calibration["precision"],
            features.window, read_crossval(args.crossval, json.loads(args.config)["train"]),
        )  # fmt: skip
        write_text(args.folder / "MODEL_CARD.md", card)
        content = "".join(f"{r.recording} {r.file_sha256}\n" for r in catalogue.sort_values("recording").itertuples())
        write_json(
            args.folder / "provenance.json",
            {
                "inputs": {
                    "recordings": len(catalogue),
                    "recordings_sha256": hashlib.sha256(content.encode()).hexdigest(),
                    **{name: file_digest(getattr(args, name)) for name in ("model", "index")},
                    **({"backbone": backbone.sha256} if backbone else {}),
                    **({"teacher": teacher["sha256"]} if teacher else {}),
                },
                "config": json.loads(args.config),
                "code": json.loads(args.code),
            },
        )
        write_bytes(args.folder / CLIP, example_clip())
        # `expected_prediction` loads the bundle as users do, which needs a manifest. The final manifest also lists
        # expected.json.
        write_json(args.folder / MANIFEST, bundle_manifest(args.folder))
        write_json(
            args.folder / EXPECTED, expected_prediction(args.folder, args.backbone or None if backbone else None)
        )
        write_json(args.folder / MANIFEST, bundle_manifest(args.folder))
        log.info(
            "variant %s, %s outputs, thresholds chosen for %d species",
            released["released"],
            network.outputs,
            sum(t["chosen"] for t in thresholds.values()),
        )


if __name__ == "__main__":
    run(main)
