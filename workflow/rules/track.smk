"""Tracking of the evaluation with Weights & Biases, with the run of the training that it belongs to.

Needs: model, release (predictions, calibration, float.onnx), evaluation.
Gives: evaluation/tracked.json, which says what was logged; the logged data are in .wandb, or with run.tracking online in W&B.
"""


rule track:
    """Log scores, confusion matrix, scores per species and the model to W&B."""
    input:
        metrics=RUN / "{member}evaluation/metrics.json",
        table=RUN / "{member}evaluation/metrics.csv",
        species=RUN / "{member}evaluation/species.csv",
        confusion=RUN / "{member}evaluation/confusion.png",
        predictions=RUN / "{member}release/predictions.parquet",
        calibration=RUN / "{member}release/calibration.json",
        labels=dataset_file("labels.json"),
        graph=RUN / "{member}release/float.onnx",
        model=RUN / "{member}model/model.json",
        weights=RUN / "{member}model/weights.safetensors",
        history=RUN / "{member}model/history.csv",
    output:
        RUN / "{member}evaluation/tracked.json",
    log:
        LOGS / CONFIG.run.name / "{member}track.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}track.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("track"),
    params:
        track=CONFIG.run.tracking,
        group=untracked(CONFIG.run.name),
        code=code_fingerprint("release.track"),
    shell:
        r"""
        python -m autobird.release.track \
            --track {params.track} \
            --group {params.group:q} \
            --metrics {input.metrics:q} \
            --table {input.table:q} \
            --species {input.species:q} \
            --confusion {input.confusion:q} \
            --predictions {input.predictions:q} \
            --calibration {input.calibration:q} \
            --labels {input.labels:q} \
            --graph {input.graph:q} \
            --model {input.model:q} \
            --weights {input.weights:q} \
            --history {input.history:q} \
            --output {output:q} \
            --log {log:q}
        """
