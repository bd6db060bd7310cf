"""Analyses of a run with a pretrained backbone: what its scores mean, and what would improve them.

Needs: release/predictions.parquet, release/calibration.json, dataset, embeddings, metadata of the corpus.
Gives: evaluation/possibly_heard, evaluation/with_backbone; of heads also evaluation/learning_curve and
crossval/learning_curve. A run without a backbone makes the first two on request: `snakemake with_backbone`.
"""


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


rule learning_curve:
    """Fit heads to fewer recordings, and test them on the same test recordings."""
    input:
        index=RUN / "dataset/index.parquet",
        model=RUN / "model/model.json",
        weights=RUN / "model/weights.safetensors",
        embeddings=every_batch(EMBEDDINGS / "{batch}.npy"),
    output:
        result=RUN / "evaluation/learning_curve.json",
        table=report(
            RUN / "evaluation/learning_curve.csv",
            category="Evaluation",
            labels={"content": "learning curve (table)"},
            caption="../report/learning_curve.rst",
        ),
        figure=report(
            RUN / "evaluation/learning_curve.png",
            category="Evaluation",
            labels={"content": "learning curve"},
            caption="../report/learning_curve.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "learning_curve.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "learning_curve.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("learning_curve"),
    params:
        settings=CONFIG.settings_json(EvaluationSettings, "evaluation"),
        code=code_fingerprint("release.learning_curve"),
    shell:
        r"""
        python -m autobird.release.learning_curve \
            --settings {params.settings:q} \
            --index {input.index:q} \
            --model {input.model:q} \
            --weights {input.weights:q} \
            --embeddings {input.embeddings:q} \
            --result {output.result:q} \
            --table {output.table:q} \
            --figure {output.figure:q} \
            --log {log:q}
        """


use rule possibly_heard as pooled_possibly_heard with:
    input:
        predictions=of_folds("release/predictions.parquet"),
        calibration=of_folds("release/calibration.json"),
        labels=datasets_of_folds("labels.json"),
        details=CORPUS / "manifest/details.csv",
    output:
        result=report(
            RUN / "crossval/possibly_heard.json",
            category="Cross-validation",
            labels={"content": "recordings that the backbone may have heard before"},
            caption="../report/possibly_heard.rst",
        ),
        table=RUN / "crossval/possibly_heard.csv",
    log:
        LOGS / CONFIG.run.name / "pooled_possibly_heard.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "pooled_possibly_heard.tsv"


use rule with_backbone as pooled_with_backbone with:
    input:
        predictions=of_folds("release/predictions.parquet"),
        calibration=of_folds("release/calibration.json"),
        labels=datasets_of_folds("labels.json"),
        index=datasets_of_folds("index.parquet"),
        embeddings=every_batch(EMBEDDINGS / "{batch}.npy"),
        details=CORPUS / "manifest/details.csv",
    output:
        result=report(
            RUN / "crossval/with_backbone.json",
            category="Cross-validation",
            labels={"content": "this model or the backbone as it is"},
            caption="../report/with_backbone.rst",
        ),
        table=report(
            RUN / "crossval/with_backbone.csv",
            category="Cross-validation",
            labels={"content": "this model or the backbone as it is (table)"},
            caption="../report/with_backbone.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "pooled_with_backbone.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "pooled_with_backbone.tsv"


use rule learning_curve as pooled_learning_curve with:
    input:
        index=datasets_of_folds("index.parquet"),
        model=of_folds("model/model.json"),
        weights=of_folds("model/weights.safetensors"),
        embeddings=every_batch(EMBEDDINGS / "{batch}.npy"),
    output:
        result=RUN / "crossval/learning_curve.json",
        table=report(
            RUN / "crossval/learning_curve.csv",
            category="Cross-validation",
            labels={"content": "learning curve (table)"},
            caption="../report/learning_curve.rst",
        ),
        figure=report(
            RUN / "crossval/learning_curve.png",
            category="Cross-validation",
            labels={"content": "learning curve"},
            caption="../report/learning_curve.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "pooled_learning_curve.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "pooled_learning_curve.tsv"
