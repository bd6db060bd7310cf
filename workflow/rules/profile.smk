"""Where the time of the training goes: `snakemake profile`, or with `train.profile` a part of every run.

A rule of its own rather than a part of `train`: a training that is profiled would be slower, and to profile a finished one would train it
again. The profiled steps are those of a training of their own, whose weights are thrown away.

Needs: dataset, mels; for a student the files of its teacher, for a distilled network the answers of the ensemble.
Gives: model/profile (trace, tables by part and operator, text, figure).
"""


rule profile:
    """Measure where the time of a training goes, with some of its steps."""
    input:
        index=trained_in_steps(RUN / "dataset/index.parquet"),
        labels=RUN / "dataset/labels.json",
        normalisation=RUN / "dataset/normalisation.json",
        shards=every_batch(FEATURES / "mels/{batch}.npy"),
        sound_mels=training_sounds(".npy"),
        sound_embeddings=training_sounds(".embeddings.npy"),
        sound_tables=training_sounds(".parquet"),
        head=beside_student(teacher_id, "release/float.onnx"),
        calibration=beside_student(teacher_id, "release/calibration.json"),
        answers=teaching_ensemble,
    output:
        trace=RUN / "model/profile/trace.json.gz",
        parts=RUN / "model/profile/parts.csv",
        operators=RUN / "model/profile/operators.csv",
        summary=RUN / "model/profile/profile.txt",
        figure=report(
            RUN / "model/profile/profile.png",
            category="Model",
            labels={"content": "where the time of the training goes"},
            caption="../report/profile.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "profile.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "profile.tsv"
    conda:
        "../../envs/autobird.yaml"
    threads: CONFIG.train.threads
    resources:
        **needs("profile", gpu=may_use_gpu()),
    params:
        settings=CONFIG.settings_json(TrainSettings, "train"),
        front_end=CONFIG.settings_json(MelSettings, "features"),
        code=code_fingerprint("model.profile"),
        unlabelled=unlabelled_batches,
    shell:
        r"""
        python -m autobird.model.profile \
            --settings {params.settings:q} \
            --front-end {params.front_end:q} \
            --index {input.index:q} \
            --labels {input.labels:q} \
            --normalisation {input.normalisation:q} \
            --shards {input.shards:q} \
            --sound-mels {input.sound_mels:q} \
            --sound-embeddings {input.sound_embeddings:q} \
            --sound-tables {input.sound_tables:q} \
            --unlabelled-batches {params.unlabelled} \
            --teacher-head {input.head:q} \
            --teacher-calibration {input.calibration:q} \
            --ensemble-answers {input.answers:q} \
            --trace {output.trace:q} \
            --parts {output.parts:q} \
            --operators {output.operators:q} \
            --summary {output.summary:q} \
            --figure {output.figure:q} \
            --log {log:q}
        """
