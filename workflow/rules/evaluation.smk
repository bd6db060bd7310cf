"""Details of the evaluation: curves, confusions and weaknesses of the released model on the test recordings.

Each is a rule of its own, so that a change of a figure computes no scores again.

Needs: release/predictions.parquet, release/calibration.json, dataset, mel shards, catalogue.
Gives: evaluation/ranking, confusions and weaknesses, each with tables and figures; of a cross-validation, whose test recordings are
pooled, the same in crossval/.
"""

# What the model card says about these.
EVALUATION_DETAILS = ["confusions", "weaknesses"]


rule ranking_curves:
    """Plot precision-recall and ROC curves, and compute average precision and AUROC with confidence intervals."""
    input:
        predictions=RUN / "release/predictions.parquet",
        calibration=RUN / "release/calibration.json",
        labels=RUN / "dataset/labels.json",
    output:
        table=report(
            RUN / "evaluation/ranking.csv",
            category="Evaluation",
            labels={"content": "average precision and AUROC per species"},
            caption="../report/ranking.rst",
        ),
        curves=RUN / "evaluation/ranking_curves.csv",
        figure=report(
            RUN / "evaluation/ranking_curves.png",
            category="Evaluation",
            labels={"content": "precision-recall and ROC curves"},
            caption="../report/ranking.rst",
        ),
        species=report(
            RUN / "evaluation/species_curves.png",
            category="Evaluation",
            labels={"content": "curves of the weakest species"},
            caption="../report/species_curves.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "ranking_curves.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "ranking_curves.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("ranking_curves"),
    params:
        settings=CONFIG.settings_json(EvaluationSettings, "evaluation"),
        code=code_fingerprint("evaluation.ranking_curves"),
    shell:
        r"""
        python -m autobird.evaluation.ranking_curves \
            --settings {params.settings:q} \
            --predictions {input.predictions:q} \
            --calibration {input.calibration:q} \
            --labels {input.labels:q} \
            --table {output.table:q} \
            --curves {output.curves:q} \
            --figure {output.figure:q} \
            --species-figure {output.species:q} \
            --log {log:q}
        """


rule confusions:
    """List the species that are confused most often, and draw spectrograms of them side by side."""
    input:
        predictions=RUN / "release/predictions.parquet",
        calibration=RUN / "release/calibration.json",
        labels=RUN / "dataset/labels.json",
        index=RUN / "dataset/index.parquet",
        shards=every_batch(FEATURES / "mels/{batch}.npy"),
        catalogue=CORPUS / "catalogue.parquet",
    output:
        result=RUN / "evaluation/confusions.json",
        table=report(
            RUN / "evaluation/confusions.csv",
            category="Evaluation",
            labels={"content": "confused species (table)"},
            caption="../report/confusions.rst",
        ),
        examples=report(
            RUN / "evaluation/confusion_examples.csv",
            category="Evaluation",
            labels={"content": "sources and licences of the spectrograms"},
            caption="../report/confusion_examples.rst",
        ),
        figure=report(
            RUN / "evaluation/confusions.png",
            category="Evaluation",
            labels={"content": "confused species (spectrograms)"},
            caption="../report/confusion_spectrograms.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "confusions.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "confusions.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("confusions"),
    params:
        settings=CONFIG.settings_json(EvaluationSettings, "evaluation"),
        features=CONFIG.settings_json(MelSettings, "features"),
        code=code_fingerprint("evaluation.confusions"),
    shell:
        r"""
        python -m autobird.evaluation.confusions \
            --settings {params.settings:q} \
            --features {params.features:q} \
            --predictions {input.predictions:q} \
            --calibration {input.calibration:q} \
            --labels {input.labels:q} \
            --index {input.index:q} \
            --shards {input.shards:q} \
            --catalogue {input.catalogue:q} \
            --result {output.result:q} \
            --table {output.table:q} \
            --examples {output.examples:q} \
            --figure {output.figure:q} \
            --log {log:q}
        """


rule weaknesses:
    """Compute the scores by loudness, distance, recorder, place, time of day, duration and quality."""
    input:
        predictions=RUN / "release/predictions.parquet",
        calibration=RUN / "release/calibration.json",
        labels=RUN / "dataset/labels.json",
        index=RUN / "dataset/index.parquet",
        catalogue=CORPUS / "catalogue.parquet",
    output:
        result=RUN / "evaluation/weaknesses.json",
        table=report(
            RUN / "evaluation/weaknesses.csv",
            category="Evaluation",
            labels={"content": "weaknesses (table)"},
            caption="../report/weaknesses.rst",
        ),
        figure=report(
            RUN / "evaluation/weaknesses.png",
            category="Evaluation",
            labels={"content": "weaknesses"},
            caption="../report/weaknesses.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "weaknesses.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "weaknesses.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("weaknesses"),
    params:
        settings=CONFIG.settings_json(EvaluationSettings, "evaluation"),
        code=code_fingerprint("evaluation.weaknesses"),
    shell:
        r"""
        python -m autobird.evaluation.weaknesses \
            --settings {params.settings:q} \
            --predictions {input.predictions:q} \
            --calibration {input.calibration:q} \
            --labels {input.labels:q} \
            --index {input.index:q} \
            --catalogue {input.catalogue:q} \
            --result {output.result:q} \
            --table {output.table:q} \
            --figure {output.figure:q} \
            --log {log:q}
        """


# The predictions of the folds of a cross-validation, with the first seed. The index of any fold has all windows.
POOLED_INPUTS = dict(
    predictions=of_folds("release/predictions.parquet"),
    calibration=of_folds("release/calibration.json"),
    labels=datasets_of_folds("labels.json"),
)


use rule ranking_curves as pooled_ranking_curves with:
    input:
        **POOLED_INPUTS,
    output:
        table=report(
            RUN / "crossval/ranking.csv",
            category="Cross-validation",
            labels={"content": "average precision and AUROC per species"},
            caption="../report/ranking.rst",
        ),
        curves=RUN / "crossval/ranking_curves.csv",
        figure=report(
            RUN / "crossval/ranking_curves.png",
            category="Cross-validation",
            labels={"content": "precision-recall and ROC curves"},
            caption="../report/ranking.rst",
        ),
        species=report(
            RUN / "crossval/species_curves.png",
            category="Cross-validation",
            labels={"content": "curves of the weakest species"},
            caption="../report/species_curves.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "pooled_ranking_curves.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "pooled_ranking_curves.tsv"


use rule confusions as pooled_confusions with:
    input:
        **POOLED_INPUTS,
        index=datasets_of_folds("index.parquet")[0],
        shards=every_batch(FEATURES / "mels/{batch}.npy"),
        catalogue=CORPUS / "catalogue.parquet",
    output:
        result=RUN / "crossval/confusions.json",
        table=report(
            RUN / "crossval/confusions.csv",
            category="Cross-validation",
            labels={"content": "confused species (table)"},
            caption="../report/confusions.rst",
        ),
        examples=report(
            RUN / "crossval/confusion_examples.csv",
            category="Cross-validation",
            labels={"content": "sources and licences of the spectrograms"},
            caption="../report/confusion_examples.rst",
        ),
        figure=report(
            RUN / "crossval/confusions.png",
            category="Cross-validation",
            labels={"content": "confused species (spectrograms)"},
            caption="../report/confusion_spectrograms.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "pooled_confusions.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "pooled_confusions.tsv"


use rule weaknesses as pooled_weaknesses with:
    input:
        **POOLED_INPUTS,
        index=datasets_of_folds("index.parquet")[0],
        catalogue=CORPUS / "catalogue.parquet",
    output:
        result=RUN / "crossval/weaknesses.json",
        table=report(
            RUN / "crossval/weaknesses.csv",
            category="Cross-validation",
            labels={"content": "weaknesses (table)"},
            caption="../report/weaknesses.rst",
        ),
        figure=report(
            RUN / "crossval/weaknesses.png",
            category="Cross-validation",
            labels={"content": "weaknesses"},
            caption="../report/weaknesses.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "pooled_weaknesses.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "pooled_weaknesses.tsv"
