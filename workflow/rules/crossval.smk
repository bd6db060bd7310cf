"""Cross-validation: every fold of `dataset.folds` with every seed of `train.seeds`, as members of the run: `snakemake crossval`.

Needs: dataset, model, release/predictions and release/calibration of the members.
Gives: crossval/crossval.json, members.csv, species.csv, crossval.png, predictions.parquet.
"""


localrules:
    crossval,


rule pool:
    """Pool the test predictions of all folds and seeds, and compute their scores with confidence intervals."""
    input:
        predictions=expand(
            str(RUN / "members/{member}/release/predictions.parquet"),
            member=crossval_ids(CONFIG),
        ),
        calibrations=expand(
            str(RUN / "members/{member}/release/calibration.json"),
            member=crossval_ids(CONFIG),
        ),
        labels=expand(
            str(RUN / "members/{member}/dataset/labels.json"), member=fold_ids(CONFIG)
        ),
        counts=RUN / "members" / fold_ids(CONFIG)[0] / "dataset/counts.json",
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
    output:
        result=RUN / "crossval/crossval.json",
        table=report(
            RUN / "crossval/members.csv",
            category="Cross-validation",
            labels={"content": "scores of each fold and seed (table)"},
            caption="../report/crossval_members.rst",
        ),
        species=report(
            RUN / "crossval/species.csv",
            category="Cross-validation",
            labels={"content": "pooled scores per species"},
            caption="../report/crossval_species.rst",
        ),
        figure=report(
            RUN / "crossval/crossval.png",
            category="Cross-validation",
            labels={"content": "scores of each fold and seed, and pooled scores"},
            caption="../report/crossval.rst",
        ),
        pooled=RUN / "crossval/predictions.parquet",
    log:
        LOGS / CONFIG.run.name / "pool.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "pool.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("pool"),
    params:
        members=json.dumps(crossval_folds_and_seeds(CONFIG)),
        ensemble="null",
        settings=CONFIG.settings_json(EvaluationSettings, "evaluation"),
        code=code_fingerprint("evaluation.crossval"),
    shell:
        r"""
        python -m autobird.evaluation.crossval \
            --settings {params.settings:q} \
            --members {params.members:q} \
            --ensemble {params.ensemble:q} \
            --predictions {input.predictions:q} \
            --calibrations {input.calibrations:q} \
            --labels {input.labels:q} \
            --counts {input.counts:q} \
            --recordings {input.recordings:q} \
            --result {output.result:q} \
            --table {output.table:q} \
            --species {output.species:q} \
            --figure {output.figure:q} \
            --pooled {output.pooled:q} \
            --log {log:q}
        """


use rule pool as pool_ensemble with:
    # The scores of what is released with train.ensemble: an ensemble, or a network that one taught, of each fold.
    input:
        predictions=expand(
            str(RUN / "members/{member}/release/predictions.parquet"),
            member=released_ids(CONFIG),
        ),
        calibrations=expand(
            str(RUN / "members/{member}/release/calibration.json"),
            member=released_ids(CONFIG),
        ),
        labels=expand(
            str(RUN / "members/{member}/dataset/labels.json"), member=fold_ids(CONFIG)
        ),
        counts=RUN / "members" / fold_ids(CONFIG)[0] / "dataset/counts.json",
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
    output:
        result=RUN / "crossval/ensemble/crossval.json",
        table=RUN / "crossval/ensemble/members.csv",
        species=RUN / "crossval/ensemble/species.csv",
        figure=report(
            RUN / "crossval/ensemble/crossval.png",
            category="Cross-validation",
            labels={"content": "scores of the ensemble of each fold"},
            caption="../report/crossval.rst",
        ),
        pooled=RUN / "crossval/ensemble/predictions.parquet",
    log:
        LOGS / CONFIG.run.name / "pool_ensemble.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "pool_ensemble.tsv"
    params:
        members=json.dumps(
            [[fold, CONFIG.train.seed] for fold in range(CONFIG.dataset.folds)]
        ),
        ensemble=json.dumps(
            {"mode": CONFIG.train.ensemble, "seeds": sorted(CONFIG.train.seeds)}
        ),
        settings=CONFIG.settings_json(EvaluationSettings, "evaluation"),
        code=code_fingerprint("evaluation.crossval"),


rule crossval_references:
    """Compare the students of a cross-validation with their teachers and with the networks without a teacher."""
    input:
        student_predictions=crossval_files("release/predictions.parquet"),
        student_calibrations=crossval_files("release/calibration.json"),
        scratch_predictions=crossval_files("release/predictions.parquet", scratch_id),
        scratch_calibrations=crossval_files("release/calibration.json", scratch_id),
        teacher_predictions=teachers_of_folds("release/predictions.parquet"),
        teacher_calibrations=teachers_of_folds("release/calibration.json"),
        labels=expand(
            str(RUN / "members/{member}/dataset/labels.json"), member=fold_ids(CONFIG)
        ),
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
    output:
        result=RUN / "crossval/references.json",
        table=report(
            RUN / "crossval/references.csv",
            category="Cross-validation",
            labels={
                "content": "students, their teachers, and networks without a teacher"
            },
            caption="../report/crossval_references.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "crossval_references.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "crossval_references.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("crossval_references"),
    params:
        members=json.dumps(crossval_folds_and_seeds(CONFIG)),
        settings=CONFIG.settings_json(EvaluationSettings, "evaluation"),
        code=code_fingerprint("evaluation.crossval_references"),
    shell:
        r"""
        python -m autobird.evaluation.crossval_references \
            --settings {params.settings:q} \
            --members {params.members:q} \
            --labels {input.labels:q} \
            --recordings {input.recordings:q} \
            --student-predictions {input.student_predictions:q} \
            --student-calibrations {input.student_calibrations:q} \
            --scratch-predictions {input.scratch_predictions:q} \
            --scratch-calibrations {input.scratch_calibrations:q} \
            --teacher-predictions {input.teacher_predictions:q} \
            --teacher-calibrations {input.teacher_calibrations:q} \
            --result {output.result:q} \
            --table {output.table:q} \
            --log {log:q}
        """


rule crossval:
    """Train and test all folds with all seeds: snakemake crossval"""
    input:
        crossval_targets,
        analyses_of("crossval"),
        RUN / "crossval/ranking.csv",
        expand(str(RUN / "crossval/{name}.json"), name=EVALUATION_DETAILS),
