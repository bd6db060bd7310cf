"""A folder of field recordings through a bundle, fanned out: `snakemake predict --config 'predict={input: FOLDER}'`.

Needs: a bundle (of this run, or `predict.bundle`), and the folder.
Gives: <run>/predict/<name>/detections.csv and skipped.csv; with `drift.current` a folder, its features for the drift report.
"""


localrules:
    predict_rows,
    predict,


rule predict_rows:
    # Its params carry the digest of what the folder holds now, as rule rows does for the corpus.
    output:
        RUN / "{task}/batches/{batch}.rows.csv",
    log:
        LOGS / CONFIG.run.name / "{task}/{batch}.rows.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{task}/{batch}.rows.tsv"
    wildcard_constraints:
        task=PREDICT_TASKS,
    conda:
        "../../envs/autobird.yaml"
    params:
        root=untracked_root,
        digest=digest_of_field_batch,
        batches=CONFIG.predict.batches,
        cache=untracked(HASHES),
    shell:
        r"""
        python -m autobird.predict.rows \
            --root {params.root:q} \
            --batch {wildcards.batch} \
            --batches {params.batches} \
            --digest {params.digest:q} \
            --cache {params.cache:q} \
            --output {output:q} \
            --log {log:q}
        """


rule predict_batch:
    input:
        rows=RUN / "{task}/batches/{batch}.rows.csv",
        bundle=bundle_files,
    output:
        detections=RUN / "{task}/batches/{batch}.detections.csv",
        skipped=RUN / "{task}/batches/{batch}.skipped.csv",
        features=RUN / "{task}/batches/{batch}.features.csv",
    log:
        LOGS / CONFIG.run.name / "{task}/{batch}.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{task}/{batch}.tsv"
    wildcard_constraints:
        task=PREDICT_TASKS,
    conda:
        "../../envs/autobird.yaml"
    params:
        root=untracked_root,
        bundle=lambda wildcards, input: Path(input.bundle[0]).parent,
        code=code("predict.batch"),
    shell:
        r"""
        python -m autobird.predict.batch \
            --bundle {params.bundle:q} \
            --rows {input.rows:q} \
            --root {params.root:q} \
            --detections {output.detections:q} \
            --skipped {output.skipped:q} \
            --features {output.features:q} \
            --log {log:q}
        """


rule predict_merge:
    input:
        expand(
            str(
                RUN / "predict" / CONFIG.predict.name / "batches/{batch}.{{table}}.csv"
            ),
            batch=PREDICT_BATCHES,
        ),
    output:
        RUN / "predict" / CONFIG.predict.name / "{table}.csv",
    log:
        LOGS / CONFIG.run.name / "predict" / CONFIG.predict.name / "{table}.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "predict" / CONFIG.predict.name / "{table}.tsv"
    wildcard_constraints:
        table="detections|skipped",
    conda:
        "../../envs/autobird.yaml"
    params:
        code=code("predict.merge"),
    shell:
        r"""
        python -m autobird.predict.merge \
            --tables {input:q} \
            --output {output:q} \
            --log {log:q}
        """


rule predict:
    input:
        predict_targets,
