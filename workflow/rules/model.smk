"""From windows to a trained network.

Needs: dataset, mels; for a head embeddings.
Gives: model (weights, description, history, learning curves).
"""


rule train:
    """Train the network; continue from the last checkpoint after an interruption."""
    input:
        index=dataset_file("index.parquet"),
        labels=dataset_file("labels.json"),
        normalisation=dataset_file("normalisation.json"),
        shards=every_batch(FEATURES / "mels/{batch}.npy"),
        sound_mels=training_sounds(".npy"),
        sound_embeddings=training_sounds(".embeddings.npy"),
        sound_tables=training_sounds(".parquet"),
        head=beside_student(teacher_id, "release/float.onnx"),
        calibration=beside_student(teacher_id, "release/calibration.json"),
        answers=teaching_ensemble,
    output:
        weights=RUN / "{member}model/weights.safetensors",
        model=RUN / "{member}model/model.json",
        history=RUN / "{member}model/history.csv",
    log:
        LOGS / CONFIG.run.name / "{member}train.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}train.tsv"
    wildcard_constraints:
        member=members_where(lambda member: member.config.train.architecture != "head"),
    conda:
        "../../envs/autobird.yaml"
    # On each node.
    threads: lambda wildcards: PROCESSES["devices"] * config_of(wildcards).train.threads
    resources:
        **needs("train", gpu=may_use_gpu(), **PROCESSES),
    params:
        settings=member_settings(TrainSettings, "train"),
        front_end=CONFIG.settings_json(MelSettings, "features"),
        code=code_fingerprint("model.train"),
        track=untracked(CONFIG.run.tracking),
        group=untracked(CONFIG.run.name),
        teacher=teacher_key,
        unlabelled=unlabelled_batches,
        checkpoints=state(".checkpoints/train"),
    shell:
        r"""
        python -m autobird.model.train \
            --settings {params.settings:q} \
            --front-end {params.front_end:q} \
            --code {params.code:q} \
            --checkpoints {params.checkpoints:q} \
            --track {params.track} \
            --group {params.group:q} \
            --index {input.index:q} \
            --labels {input.labels:q} \
            --normalisation {input.normalisation:q} \
            --shards {input.shards:q} \
            --teacher {params.teacher:q} \
            --sound-mels {input.sound_mels:q} \
            --sound-embeddings {input.sound_embeddings:q} \
            --sound-tables {input.sound_tables:q} \
            --unlabelled-batches {params.unlabelled} \
            --teacher-head {input.head:q} \
            --teacher-calibration {input.calibration:q} \
            --ensemble-answers {input.answers:q} \
            --weights {output.weights:q} \
            --model {output.model:q} \
            --history {output.history:q} \
            --log {log:q}
        """


rule train_head:
    """Fit a head on the embeddings of the training windows."""
    input:
        index=dataset_file("index.parquet"),
        labels=dataset_file("labels.json"),
        embeddings=every_batch(EMBEDDINGS / "{batch}.npy"),
    output:
        weights=RUN / "{member}model/weights.safetensors",
        model=RUN / "{member}model/model.json",
        history=RUN / "{member}model/history.csv",
    log:
        LOGS / CONFIG.run.name / "{member}train_head.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}train_head.tsv"
    wildcard_constraints:
        member=members_where(lambda member: member.config.train.architecture == "head"),
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("train_head"),
    params:
        settings=member_settings(HeadSettings, "train"),
        front_end=CONFIG.settings_json(MelSettings, "features"),
        backbone=backbone_key,
        file=untracked(CONFIG.backbone.file or ""),
        code=code_fingerprint("model.train_head"),
    shell:
        r"""
        python -m autobird.model.train_head \
            --settings {params.settings:q} \
            --front-end {params.front_end:q} \
            --backbone {params.backbone:q} \
            --file {params.file:q} \
            --index {input.index:q} \
            --labels {input.labels:q} \
            --embeddings {input.embeddings:q} \
            --weights {output.weights:q} \
            --model {output.model:q} \
            --history {output.history:q} \
            --log {log:q}
        """


rule curves:
    """Plot the learning curves, or for a head the choice of the weight decay."""
    input:
        history=RUN / "model/history.csv",
        model=RUN / "model/model.json",
    output:
        report(
            RUN / "model/curves.png",
            category="Model",
            labels={
                "content": (
                    "choice of the weight decay"
                    if CONFIG.train.architecture == "head"
                    else "learning curves"
                )
            },
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
        code=code_fingerprint("evaluation.curves"),
    shell:
        r"""
        python -m autobird.evaluation.curves \
            --history {input.history:q} \
            --model {input.model:q} \
            --output {output:q} \
            --log {log:q}
        """
