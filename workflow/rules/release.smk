"""From a trained network to an evaluated, released bundle.

Needs: model, dataset, mels; for the bundle also catalogue, attribution and licences of the corpus.
Gives: release/<variant>.onnx, scores, comparison, calibration, latency; evaluation (metrics, tables, figures);
release/bundle.
"""


rule export:
    """Export the trained network as float32 ONNX."""
    input:
        model=RUN / "{member}model/model.json",
        weights=RUN / "{member}model/weights.safetensors",
    output:
        RUN / "{member}release/float.onnx",
    log:
        LOGS / CONFIG.run.name / "{member}export.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}export.tsv"
    wildcard_constraints:
        member=members_where(lambda member: not member.ensemble),
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("export"),
    params:
        code=code_fingerprint("release.export"),
    shell:
        r"""
        python -m autobird.release.export \
            --model {input.model:q} \
            --weights {input.weights:q} \
            --output {output:q} \
            --log {log:q}
        """


use rule export as export_network with:
    # The network of the main run, whose float.onnx is an ensemble.
    input:
        model=RUN / "model/model.json",
        weights=RUN / "model/weights.safetensors",
    output:
        RUN / "release/network.onnx",
    log:
        LOGS / CONFIG.run.name / "export_network.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "export_network.tsv"


rule ensemble:
    """Average the networks of several seeds in one graph."""
    input:
        variants=of_ensemble("release/{network}.onnx"),
        scores=of_ensemble("release/scores/{network}.parquet"),
        models=of_ensemble("model/model.json"),
        indexes=lambda wildcards: [
            RUN / MEMBERS[prefix_of(name)].dataset_prefix / "dataset/index.parquet"
            for name in MEMBERS[wildcards.member].ensemble
        ],
        index=dataset_file("index.parquet"),
    output:
        graph=RUN / "{member}release/float.onnx",
        result=RUN / "{member}release/ensemble.json",
    log:
        LOGS / CONFIG.run.name / "{member}ensemble.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}ensemble.tsv"
    wildcard_constraints:
        member=members_where(lambda member: member.ensemble),
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("ensemble"),
    params:
        names=lambda wildcards: [
            name or "main" for name in MEMBERS[wildcards.member].ensemble
        ],
        settings=member_settings(CalibrationSettings, "evaluation"),
        teaches="--teaches" if CONFIG.train.ensemble == "distill" else "",
        code=code_fingerprint("release.ensemble"),
    shell:
        r"""
        python -m autobird.release.ensemble \
            --settings {params.settings:q} \
            --names {params.names:q} \
            --variants {input.variants:q} \
            --scores {input.scores:q} \
            --models {input.models:q} \
            --indexes {input.indexes:q} \
            --index {input.index:q} \
            {params.teaches} \
            --output {output.graph:q} \
            --result {output.result:q} \
            --log {log:q}
        """


rule ensemble_answers:
    """Compute the answers of an ensemble to the training windows, from which a network learns."""
    input:
        graph=RUN / "{member}release/float.onnx",
        model=model_file,
        index=dataset_file("index.parquet"),
        shards=network_inputs,
    output:
        RUN / "{member}release/answers.parquet",
    log:
        LOGS / CONFIG.run.name / "{member}ensemble_answers.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}ensemble_answers.tsv"
    wildcard_constraints:
        member=members_where(lambda member: member.ensemble),
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("ensemble_answers"),
    params:
        code=code_fingerprint("release.ensemble_answers"),
    shell:
        r"""
        python -m autobird.release.ensemble_answers \
            --graph {input.graph:q} \
            --model {input.model:q} \
            --index {input.index:q} \
            --shards {input.shards:q} \
            --output {output:q} \
            --log {log:q}
        """


rule prune:
    """Remove channels of the trained network, fine-tune the rest, and export it as ONNX."""
    input:
        model=RUN / "model/model.json",
        weights=RUN / "model/weights.safetensors",
        index=RUN / "dataset/index.parquet",
        shards=every_batch(FEATURES / "mels/{batch}.npy"),
        sound_mels=training_sounds(".npy"),
        sound_embeddings=training_sounds(".embeddings.npy"),
        sound_tables=training_sounds(".parquet"),
        head=beside_student(teacher_id, "release/float.onnx"),
        calibration=beside_student(teacher_id, "release/calibration.json"),
    output:
        RUN / "release/pruned.onnx",
    log:
        LOGS / CONFIG.run.name / "prune.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "prune.tsv"
    conda:
        "../../envs/autobird.yaml"
    threads: CONFIG.train.threads
    resources:
        **needs("prune", gpu=may_use_gpu()),
    params:
        settings=CONFIG.settings_json(PruneSettings, "release"),
        code=code_fingerprint("release.prune"),
        unlabelled=unlabelled_batches,
        checkpoints=state(".checkpoints/prune"),
    shell:
        r"""
        python -m autobird.release.prune \
            --settings {params.settings:q} \
            --code {params.code:q} \
            --checkpoints {params.checkpoints:q} \
            --model {input.model:q} \
            --weights {input.weights:q} \
            --index {input.index:q} \
            --shards {input.shards:q} \
            --sound-mels {input.sound_mels:q} \
            --sound-embeddings {input.sound_embeddings:q} \
            --sound-tables {input.sound_tables:q} \
            --unlabelled-batches {params.unlabelled} \
            --teacher-head {input.head:q} \
            --teacher-calibration {input.calibration:q} \
            --output {output:q} \
            --log {log:q}
        """


rule quantize:
    """Quantize a variant to int8, calibrated on training windows."""
    input:
        source=lambda wildcards: RUN
        / f"release/{'pruned' if wildcards.prefix else 'float'}.onnx",
        model=RUN / "model/model.json",
        index=RUN / "dataset/index.parquet",
        shards=every_batch(FEATURES / "mels/{batch}.npy"),
    output:
        RUN / "release/{prefix}int8.onnx",
    log:
        LOGS / CONFIG.run.name / "quantize/{prefix}int8.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "quantize/{prefix}int8.tsv"
    wildcard_constraints:
        prefix="(pruned_)?",
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("quantize"),
    params:
        settings=CONFIG.settings_json(QuantizeSettings, "release"),
        code=code_fingerprint("release.quantize"),
    shell:
        r"""
        python -m autobird.release.quantize \
            --settings {params.settings:q} \
            --source {input.source:q} \
            --model {input.model:q} \
            --index {input.index:q} \
            --shards {input.shards:q} \
            --output {output:q} \
            --log {log:q}
        """


rule score:
    """Compute the logits of one variant for the validation and test windows."""
    input:
        variant=RUN / "{member}release/{variant}.onnx",
        model=model_file,
        index=dataset_file("index.parquet"),
        shards=network_inputs,
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
    output:
        RUN / "{member}release/scores/{variant}.parquet",
    log:
        LOGS / CONFIG.run.name / "{member}score/{variant}.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}score/{variant}.tsv"
    wildcard_constraints:
        variant="|".join([*VARIANTS, "network"]),
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("score"),
    params:
        # The cross-validation counts the recordings of species that a fold is not trained on.
        untrained=lambda wildcards: "--untrained" if wildcards.member else "",
        code=code_fingerprint("release.score"),
    shell:
        r"""
        python -m autobird.release.score \
            --variant {input.variant:q} \
            --model {input.model:q} \
            --index {input.index:q} \
            --shards {input.shards:q} \
            --recordings {input.recordings:q} \
            --output {output:q} \
            {params.untrained} \
            --log {log:q}
        """


rule compare:
    """Calibrate each variant on validation, apply the release gate, and select the variant to release."""
    input:
        variants=every_variant("release/{variant}.onnx"),
        scores=every_variant("release/scores/{variant}.parquet"),
        labels=dataset_file("labels.json"),
        references=references("release/scores/float.parquet"),
        reference_graphs=references("release/float.onnx"),
        model=model_file,
        reference_models=references("model/model.json"),
    output:
        comparison=report(
            RUN / "{member}release/comparison.csv",
            category=category("Release"),
            subcategory=member_id,
            labels={"content": "comparison of the variants"},
            caption="../report/comparison.rst",
        ),
        released=report(
            RUN / "{member}release/released.json",
            category=category("Release"),
            subcategory=member_id,
            labels={"content": "released variant and reasons"},
            caption="../report/released.rst",
        ),
        predictions=RUN / "{member}release/predictions.parquet",
        calibration=RUN / "{member}release/calibration.json",
    log:
        LOGS / CONFIG.run.name / "{member}compare.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}compare.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("compare"),
    params:
        settings=member_settings(CompareSettings, "release", "evaluation"),
        code=code_fingerprint("release.compare"),
    shell:
        r"""
        python -m autobird.release.compare \
            --settings {params.settings:q} \
            --variants {input.variants:q} \
            --scores {input.scores:q} \
            --labels {input.labels:q} \
            --references {input.references:q} \
            --reference-graphs {input.reference_graphs:q} \
            --model {input.model:q} \
            --reference-models {input.reference_models:q} \
            --comparison {output.comparison:q} \
            --released {output.released:q} \
            --predictions {output.predictions:q} \
            --calibration {output.calibration:q} \
            --log {log:q}
        """


rule evaluate:
    """Compute the scores of the released variant with confidence intervals, and plot them."""
    input:
        predictions=RUN / "{member}release/predictions.parquet",
        calibration=RUN / "{member}release/calibration.json",
        labels=dataset_file("labels.json"),
    output:
        metrics=RUN / "{member}evaluation/metrics.json",
        table=report(
            RUN / "{member}evaluation/metrics.csv",
            category=category("Evaluation"),
            subcategory=member_id,
            labels={"content": "metrics with intervals"},
            caption="../report/metrics.rst",
        ),
        species=report(
            RUN / "{member}evaluation/species.csv",
            category=category("Evaluation"),
            subcategory=member_id,
            labels={"content": "metrics per species"},
            caption="../report/by_species.rst",
        ),
        confusion=report(
            RUN / "{member}evaluation/confusion.png",
            category=category("Evaluation"),
            subcategory=member_id,
            labels={"content": "confusion matrix"},
            caption="../report/confusion.rst",
        ),
        species_figure=report(
            RUN / "{member}evaluation/species.png",
            category=category("Evaluation"),
            subcategory=member_id,
            labels={"content": "F1 and detections per species"},
            caption="../report/by_species.rst",
        ),
        reliability=report(
            RUN / "{member}evaluation/reliability.png",
            category=category("Evaluation"),
            subcategory=member_id,
            labels={"content": "calibration"},
            caption="../report/reliability.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "{member}evaluate.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}evaluate.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("evaluate"),
    params:
        settings=member_settings(EvaluationSettings, "evaluation"),
        code=code_fingerprint("evaluation.evaluate"),
    shell:
        r"""
        python -m autobird.evaluation.evaluate \
            --settings {params.settings:q} \
            --predictions {input.predictions:q} \
            --calibration {input.calibration:q} \
            --labels {input.labels:q} \
            --metrics {output.metrics:q} \
            --table {output.table:q} \
            --species {output.species:q} \
            --confusion {output.confusion:q} \
            --species-figure {output.species_figure:q} \
            --reliability {output.reliability:q} \
            --log {log:q}
        """


rule latency:
    """Measure the speed of each variant."""

    # Measured times differ from run to run. They are reported only; no stage makes a decision with them.
    input:
        variants=every_variant("release/{variant}.onnx"),
        model=RUN / "model/model.json",
        weights=RUN / "model/weights.safetensors",
    output:
        RUN / "release/latency.json",
    log:
        LOGS / CONFIG.run.name / "latency.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "latency.tsv"
    conda:
        "../../envs/autobird.yaml"
    # Reserves all cores: no other job may run during the measurement.
    threads: workflow.resource_settings.cores or 1
    resources:
        **needs("latency"),
    params:
        settings=CONFIG.settings_json(LatencySettings, "release"),
        backbone=untracked(CONFIG.backbone.file or ""),
        code=code_fingerprint("release.latency"),
    shell:
        r"""
        python -m autobird.release.latency \
            --settings {params.settings:q} \
            --backbone {params.backbone:q} \
            --variants {input.variants:q} \
            --model {input.model:q} \
            --weights {input.weights:q} \
            --output {output:q} \
            --log {log:q}
        """


rule comparison_figure:
    """Plot quality, size and speed of the variants."""
    input:
        comparison=RUN / "release/comparison.csv",
        latency=RUN / "release/latency.json",
    output:
        report(
            RUN / "release/comparison.png",
            category="Release",
            labels={"content": "quality, size and speed of the variants"},
            caption="../report/comparison_figure.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "comparison_figure.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "comparison_figure.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("comparison_figure"),
    params:
        code=code_fingerprint("release.comparison_figure"),
    shell:
        r"""
        python -m autobird.release.comparison_figure \
            --comparison {input.comparison:q} \
            --latency {input.latency:q} \
            --output {output:q} \
            --log {log:q}
        """


# What the bundle is made from, without the analyses that its model card cites.
BUNDLE_INPUTS = dict(
    variants=every_variant("release/{variant}.onnx"),
    released=RUN / "release/released.json",
    calibration=RUN / "release/calibration.json",
    predictions=RUN / "release/predictions.parquet",
    comparison=RUN / "release/comparison.csv",
    model=RUN / "model/model.json",
    index=RUN / "dataset/index.parquet",
    counts=RUN / "dataset/counts.json",
    leakage=RUN / "dataset/leakage.json",
    metrics=RUN / "evaluation/metrics.json",
    species=RUN / "evaluation/species.csv",
    shards=every_batch(FEATURES / "mels/{batch}.npy"),
    catalogue=CORPUS / "catalogue.parquet",
    attribution=CORPUS / "ATTRIBUTION.csv",
    licences=CORPUS / "licences.json",
)


# The cross-validation that the model card shows if it has been made: of networks like the released one.
CROSSVAL = (
    RUN
    / "crossval"
    / ("" if CONFIG.train.ensemble == "none" else "ensemble")
    / "crossval.json"
)


rule bundle:
    """Write the bundle: the released model with all that is needed to use it."""
    input:
        **BUNDLE_INPUTS,
        analysis=[
            *analyses_of("evaluation"),
            *expand(str(RUN / "evaluation/{name}.json"), name=EVALUATION_DETAILS),
            *FIELD_SUMMARY,
        ],
    output:
        graph=RUN / "release/bundle/model.onnx",
        description=RUN / "release/bundle/bundle.json",
        reference=RUN / "release/bundle/drift_reference.json",
        card=report(
            RUN / "release/bundle/MODEL_CARD.md",
            category="Release",
            labels={"content": "model card"},
            caption="../report/card.rst",
        ),
        attribution=RUN / "release/bundle/ATTRIBUTION.csv",
        provenance=RUN / "release/bundle/provenance.json",
        example=RUN / "release/bundle/example.flac",
        expected=RUN / "release/bundle/expected.json",
        manifest=RUN / "release/bundle/manifest.json",
    log:
        LOGS / CONFIG.run.name / "bundle.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "bundle.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("bundle"),
    params:
        settings=CONFIG.settings_json(FeatureSettings, "features"),
        name=CONFIG.run.name,
        config=CONFIG.provenance(),
        stages=stage_fingerprints(),
        origin=backbone_origin(),
        code=code_fingerprint("release.bundle"),
        # The digest is tracked, so that the card follows the cross-validation, which the bundle does not request.
        crossval_digest=file_digest(CROSSVAL) or "",
        crossval=untracked(CROSSVAL if CROSSVAL.is_file() else ""),
        backbone=untracked(CONFIG.backbone.file or ""),
    shell:
        r"""
        python -m autobird.release.bundle \
            --settings {params.settings:q} \
            --name {params.name:q} \
            --config {params.config:q} \
            --code {params.stages:q} \
            --backbone {params.backbone:q} \
            --origin {params.origin:q} \
            --variants {input.variants:q} \
            --released {input.released:q} \
            --calibration {input.calibration:q} \
            --predictions {input.predictions:q} \
            --comparison {input.comparison:q} \
            --model {input.model:q} \
            --index {input.index:q} \
            --counts {input.counts:q} \
            --leakage {input.leakage:q} \
            --metrics {input.metrics:q} \
            --species {input.species:q} \
            --analysis {input.analysis:q} \
            --crossval {params.crossval:q} \
            --shards {input.shards:q} \
            --catalogue {input.catalogue:q} \
            --attribution {input.attribution:q} \
            --licences {input.licences:q} \
            --folder "$(dirname {output.graph:q})" \
            --log {log:q}
        """


use rule bundle as candidate with:
    # The bundle that is measured on field recordings. The released one differs from it in the model card, which has the result.
    input:
        **BUNDLE_INPUTS,
        analysis=analyses_of("evaluation"),
    output:
        graph=RUN / "release/candidate/model.onnx",
        description=RUN / "release/candidate/bundle.json",
        reference=RUN / "release/candidate/drift_reference.json",
        card=RUN / "release/candidate/MODEL_CARD.md",
        attribution=RUN / "release/candidate/ATTRIBUTION.csv",
        provenance=RUN / "release/candidate/provenance.json",
        example=RUN / "release/candidate/example.flac",
        expected=RUN / "release/candidate/expected.json",
        manifest=RUN / "release/candidate/manifest.json",
    log:
        LOGS / CONFIG.run.name / "candidate.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "candidate.tsv"
