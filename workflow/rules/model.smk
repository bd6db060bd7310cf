"""From windows to an evaluated model.

Needs: dataset, mels.
Gives: model (weights, history, curves, predictions), evaluation (metrics, tables, figures).
"""


rule train:
    input:
        index=RUN / "dataset/index.parquet",
        labels=RUN / "dataset/labels.json",
        normalisation=RUN / "dataset/normalisation.json",
        shards=every_batch(FEATURES / "mels/{batch}.npy"),
    output:
        weights=RUN / "model/weights.safetensors",
        model=RUN / "model/model.json",
        history=RUN / "model/history.csv",
    log:
        LOGS / CONFIG.run.name / "train.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "train.tsv"
    conda:
        "../../envs/autobird.yaml"
    threads: CONFIG.train.threads
    resources:
        **needs("train", gpu=gpus()),
    params:
        settings=CONFIG.part(TrainSettings, "train"),
        front_end=CONFIG.part(MelSettings, "features"),
        code=code("model.train"),
        track=untracked(CONFIG.run.tracking),
        checkpoints=state(".checkpoints/train"),
    shell:
        r"""
        python -m autobird.model.train \
            --settings {params.settings:q} \
            --front-end {params.front_end:q} \
            --code {params.code:q} \
            --checkpoints {params.checkpoints:q} \
            --track {params.track} \
            --index {input.index:q} \
            --labels {input.labels:q} \
            --normalisation {input.normalisation:q} \
            --shards {input.shards:q} \
            --weights {output.weights:q} \
            --model {output.model:q} \
            --history {output.history:q} \
            --log {log:q}
        """


rule curves:
    input:
        history=RUN / "model/history.csv",
        model=RUN / "model/model.json",
    output:
        report(
            RUN / "model/curves.png",
            category="Model",
            labels={"what": "learning curves"},
            caption="../report/curves.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "curves.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "curves.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("curves"),
    params:
        code=code("evaluation.curves"),
    shell:
        r"""
        python -m autobird.evaluation.curves \
            --history {input.history:q} \
            --model {input.model:q} \
            --output {output:q} \
            --log {log:q}
        """


rule score:
    input:
        index=RUN / "dataset/index.parquet",
        shards=every_batch(FEATURES / "mels/{batch}.npy"),
        model=RUN / "model/model.json",
        weights=RUN / "model/weights.safetensors",
    output:
        RUN / "model/predictions.parquet",
    log:
        LOGS / CONFIG.run.name / "score.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "score.tsv"
    conda:
        "../../envs/autobird.yaml"
    threads: CONFIG.train.threads
    resources:
        **needs("score", gpu=gpus()),
    params:
        code=code("model.score"),
    shell:
        r"""
        python -m autobird.model.score \
            --index {input.index:q} \
            --shards {input.shards:q} \
            --model {input.model:q} \
            --weights {input.weights:q} \
            --output {output:q} \
            --log {log:q}
        """


rule evaluate:
    input:
        predictions=RUN / "model/predictions.parquet",
        labels=RUN / "dataset/labels.json",
    output:
        metrics=RUN / "evaluation/metrics.json",
        table=report(
            RUN / "evaluation/metrics.csv",
            category="Evaluation",
            labels={"what": "metrics with intervals"},
            caption="../report/metrics.rst",
        ),
        species=report(
            RUN / "evaluation/species.csv",
            category="Evaluation",
            labels={"what": "metrics by species"},
            caption="../report/by_species.rst",
        ),
        calibration=RUN / "evaluation/calibration.json",
        thresholds=RUN / "evaluation/thresholds.csv",
        confusion=report(
            RUN / "evaluation/confusion.png",
            category="Evaluation",
            labels={"what": "confusion matrix"},
            caption="../report/confusion.rst",
        ),
        species_figure=report(
            RUN / "evaluation/species.png",
            category="Evaluation",
            labels={"what": "F1 by species"},
            caption="../report/by_species.rst",
        ),
        reliability=report(
            RUN / "evaluation/reliability.png",
            category="Evaluation",
            labels={"what": "calibration"},
            caption="../report/reliability.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "evaluate.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "evaluate.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("evaluate"),
    params:
        settings=CONFIG.part(EvaluationSettings, "evaluation"),
        code=code("evaluation.evaluate"),
    shell:
        r"""
        python -m autobird.evaluation.evaluate \
            --settings {params.settings:q} \
            --predictions {input.predictions:q} \
            --labels {input.labels:q} \
            --metrics {output.metrics:q} \
            --table {output.table:q} \
            --species {output.species:q} \
            --calibration {output.calibration:q} \
            --thresholds {output.thresholds:q} \
            --confusion {output.confusion:q} \
            --species-figure {output.species_figure:q} \
            --reliability {output.reliability:q} \
            --log {log:q}
        """
