"""Analyses of a run with a pretrained backbone: what its scores mean, and what would improve them.

Needs: release/predictions.parquet, release/calibration.json, dataset, metadata of the corpus.
Gives: evaluation/possibly_heard. A run without a backbone uses none of these rules.
"""

from autobird.evaluation.settings import PossiblyHeardSettings


def analyses(wildcards):
    """The analyses of a run with a backbone, whose summaries are in the card; other runs have none."""
    names = ["possibly_heard"] if CONFIG.uses_backbone else []
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
