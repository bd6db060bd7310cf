"""Analyses of a run with a pretrained backbone: what its scores mean, and what would improve them.

Needs: release/predictions.parquet, release/calibration.json, dataset, embeddings, metadata of the corpus.
Gives: evaluation/possibly_heard, evaluation/with_backbone. A run without a backbone makes them only on request, for example
`snakemake with_backbone`.
"""

from autobird.backbone.known import BIRDNET
from autobird.evaluation.settings import PossiblyHeardSettings, WithBackboneSettings


def analyses(wildcards):
    """The analyses of a run with a backbone, whose summaries are in the card; other runs have none."""
    names = ["possibly_heard"] if CONFIG.uses_backbone else []
    if CONFIG.uses_backbone and CONFIG.backbone.name == BIRDNET:  # the only one with a species list of its own
        names.append("with_backbone")
    return [RUN / f"evaluation/{name}.json" for name in names]


rule possibly_heard:
    """Compute the scores without the test recordings that the backbone may have been trained on."""
    input:
        predictions=RUN / "release/predictions.parquet",
        calibration=RUN / "release/calibration.json",
        labels=RUN / "dataset/labels.json",
        details=CORPUS / "manifest/details.csv",
    output:
        result=report(
            RUN / "evaluation/possibly_heard.json",
            category="Evaluation",
            labels={"content": "recordings that the backbone may have heard before"},
            caption="../report/possibly_heard.rst",
        ),
        table=RUN / "evaluation/possibly_heard.csv",
    log:
        LOGS / CONFIG.run.name / "possibly_heard.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "possibly_heard.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("possibly_heard"),
    params:
        settings=CONFIG.settings_json(PossiblyHeardSettings, "backbone", "evaluation"),
        code=code_fingerprint("evaluation.possibly_heard"),
    shell:
        r"""
        python -m autobird.evaluation.possibly_heard \
            --settings {params.settings:q} \
            --predictions {input.predictions:q} \
            --calibration {input.calibration:q} \
            --labels {input.labels:q} \
            --details {input.details:q} \
            --output {output.result:q} \
            --table {output.table:q} \
            --log {log:q}
        """


rule with_backbone:
    """Compare the released model with the backbone's own species list, on the same test recordings."""
    input:
        predictions=RUN / "release/predictions.parquet",
        calibration=RUN / "release/calibration.json",
        labels=RUN / "dataset/labels.json",
        index=RUN / "dataset/index.parquet",
        embeddings=every_batch(EMBEDDINGS / "{batch}.npy"),
        details=CORPUS / "manifest/details.csv",
    output:
        result=report(
            RUN / "evaluation/with_backbone.json",
            category="Evaluation",
            labels={"content": "this model or the backbone as it is"},
            caption="../report/with_backbone.rst",
        ),
        table=report(
            RUN / "evaluation/with_backbone.csv",
            category="Evaluation",
            labels={"content": "this model or the backbone as it is (table)"},
            caption="../report/with_backbone.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "with_backbone.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "with_backbone.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("with_backbone"),
    params:
        settings=CONFIG.settings_json(WithBackboneSettings, "backbone", "evaluation"),
        windows=CONFIG.settings_json(WindowSettings, "features"),
        backbone=backbone_key,
        code=code_fingerprint("evaluation.with_backbone"),
        file=untracked(CONFIG.backbone.file or ""),
    shell:
        r"""
        python -m autobird.evaluation.with_backbone \
            --settings {params.settings:q} \
            --windows {params.windows:q} \
            --backbone {params.backbone:q} \
            --file {params.file:q} \
            --predictions {input.predictions:q} \
            --calibration {input.calibration:q} \
            --labels {input.labels:q} \
            --index {input.index:q} \
            --embeddings {input.embeddings:q} \
            --details {input.details:q} \
            --output {output.result:q} \
            --table {output.table:q} \
            --log {log:q}
        """
