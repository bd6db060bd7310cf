"""Measure the bundle on recordings that were never trained on: `evaluation.field`, target `snakemake field`.

Needs: release/candidate (the bundle without the result of this measurement in its model card), the recordings, and corpus/recordings, corpus/landmarks to find recordings that are also in the corpus.
Gives: <run>/field: metrics, tables and figures.
"""


localrules:
    field_manifest,
    field,


rule field_manifest:
    """Write one table of the listing of the field recordings: the manifest of a batch, or a table about all of them."""

    # The digest in params is that of the table at parse time, as in rule `manifest`.
    output:
        FIELD_RUN / "manifest/{table}.csv",
    log:
        LOGS / CONFIG.run.name / "field/manifest/{table}.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "field/manifest/{table}.tsv"
    wildcard_constraints:
        table=r"\d+|" + "|".join(CORPUS_TABLES),
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("field_manifest"),
    params:
        digest=field_set_digest,
        tables=untracked(FIELD_SET_TABLES),
    shell:
        r"""
        python -m autobird.sources.manifest \
            --digest {params.digest:q} \
            --tables {params.tables:q} \
            --output {output:q} \
            --log {log:q}
        """


if FIELD_SYNTHESISED:

    rule field_demo:
        """Synthesise the field recordings of the demo of a batch into a tar archive, with the boxes of the songs."""
        input:
            manifest=FIELD_RUN / "manifest/{batch}.csv",
        output:
            audio=FIELD_RUN / "audio/{batch}.tar",
            boxes=FIELD_RUN / "truth/{batch}.csv",
        log:
            LOGS / CONFIG.run.name / "field/demo/{batch}.log",
        benchmark:
            BENCHMARKS / CONFIG.run.name / "field/demo/{batch}.tsv"
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("field_demo"),
        params:
            # As in rule download: the manifests state what determines the sound.
            settings=untracked(FIELD_SETTINGS.demo.model_dump_json()),
            seconds=FIELD_SETTINGS.demo.seconds,
            species=demo_settings().species,
            seed=demo_settings().seed,
            code=code_fingerprint("synth.field"),
        shell:
            r"""
            python -m autobird.synth.field \
                --settings {params.settings:q} \
                --species {params.species} \
                --seed {params.seed} \
                --manifest {input.manifest:q} \
                --audio {output.audio:q} \
                --boxes {output.boxes:q} \
                --log {log:q}
            """

elif not SHARED:

    rule field_pack:
        """Pack a batch of field recordings into a tar archive for jobs that cannot read their folder."""
        input:
            manifest=FIELD_RUN / "manifest/{batch}.csv",
        output:
            FIELD_RUN / "audio/{batch}.tar",
        log:
            LOGS / CONFIG.run.name / "field/pack/{batch}.log",
        benchmark:
            BENCHMARKS / CONFIG.run.name / "field/pack/{batch}.tsv"
        # Only this machine can read the folder.
        localrule: True
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("pack"),
        params:
            code=code_fingerprint("audio.pack"),
            root=untracked(FIELD_ROOT),
        shell:
            r"""
            python -m autobird.audio.pack \
                --manifest {input.manifest:q} \
                --root {params.root:q} \
                --output {output:q} \
                --log {log:q}
            """


rule field_recordings:
    """Decode the field recordings of a batch, to compare their sound and sessions with the corpus."""
    input:
        audio=field_set_audio,
        manifest=FIELD_RUN / "manifest/{batch}.csv",
    output:
        recordings=FIELD_RUN / "recordings/{batch}.parquet",
        landmarks=FIELD_RUN / "landmarks/{batch}.npy",
        pcm=temp(FIELD_RUN / "pcm/{batch}.npy"),
    log:
        LOGS / CONFIG.run.name / "field/recordings/{batch}.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "field/recordings/{batch}.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("field_recordings"),
    params:
        settings=field_recordings_settings(),
        code=code_fingerprint("corpus.recordings"),
        root=untracked(FIELD_ROOT),
    shell:
        r"""
        python -m autobird.corpus.recordings \
            --settings {params.settings:q} \
            --manifest {input.manifest:q} \
            --root {params.root:q} \
            --audio {input.audio:q} \
            --recordings {output.recordings:q} \
            --landmarks {output.landmarks:q} \
            --pcm {output.pcm:q} \
            --threads {threads} \
            --log {log:q}
        """


rule field_leakage:
    """Find the field recordings that are also in the corpus, or of a session that is in it."""
    input:
        field_recordings=every_field_batch("recordings/{batch}.parquet"),
        field_landmarks=every_field_batch("landmarks/{batch}.npy"),
        field_grouping=FIELD_RUN / "manifest/grouping.csv",
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
        landmarks=every_batch(CORPUS / "landmarks/{batch}.npy"),
        grouping=CORPUS / "manifest/grouping.csv",
        unlabelled=unlabelled_manifests(),
    output:
        leakage=FIELD_RUN / "leakage.csv",
        pairs=FIELD_RUN / "near_duplicates.csv",
    log:
        LOGS / CONFIG.run.name / "field/leakage.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "field/leakage.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("field_leakage"),
    params:
        settings=CONFIG.settings_json(FieldLeakageSettings, "corpus"),
        code=code_fingerprint("evaluation.field_leakage"),
    shell:
        r"""
        python -m autobird.evaluation.field_leakage \
            --settings {params.settings:q} \
            --field-recordings {input.field_recordings:q} \
            --field-landmarks {input.field_landmarks:q} \
            --field-grouping {input.field_grouping:q} \
            --recordings {input.recordings:q} \
            --landmarks {input.landmarks:q} \
            --grouping {input.grouping:q} \
            --unlabelled {input.unlabelled:q} \
            --output {output.leakage:q} \
            --pairs {output.pairs:q} \
            --log {log:q}
        """


rule field_predict:
    """Predict a batch of field recordings with the bundle, as `autobird predict` does."""
    input:
        manifest=FIELD_RUN / "manifest/{batch}.csv",
        audio=field_set_audio,
        bundle=[RUN / "release/candidate" / name for name in FILES],
    output:
        windows=FIELD_RUN / "predictions/{batch}.parquet",
        detections=FIELD_RUN / "predictions/{batch}.detections.csv",
        answers=FIELD_RUN / "predictions/{batch}.recordings.csv",
    log:
        LOGS / CONFIG.run.name / "field/predict/{batch}.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "field/predict/{batch}.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("field_predict"),
    params:
        root=untracked(FIELD_ROOT),
        code=code_fingerprint("evaluation.field_predict"),
        backbone=untracked(CONFIG.backbone.file or ""),
    shell:
        r"""
        python -m autobird.evaluation.field_predict \
            --bundle "$(dirname {input.bundle[0]:q})" \
            --manifest {input.manifest:q} \
            --root {params.root:q} \
            --audio {input.audio:q} \
            --backbone {params.backbone:q} \
            --windows {output.windows:q} \
            --detections {output.detections:q} \
            --answers {output.answers:q} \
            --log {log:q}
        """


rule field_evaluate:
    """Compute the scores of the bundle on the field recordings with intervals over sessions, and plot them."""
    input:
        manifests=every_field_batch("manifest/{batch}.csv"),
        recordings=every_field_batch("recordings/{batch}.parquet"),
        windows=every_field_batch("predictions/{batch}.parquet"),
        detections=every_field_batch("predictions/{batch}.detections.csv"),
        answers=every_field_batch("predictions/{batch}.recordings.csv"),
        boxes=field_set_boxes(),
        labels=FIELD_RUN / "manifest/labels.csv" if "labels" in CORPUS_TABLES else [],
        grouping=FIELD_RUN / "manifest/grouping.csv",
        exclusions=FIELD_RUN / "manifest/exclusions.csv",
        leakage=FIELD_RUN / "leakage.csv",
        pairs=FIELD_RUN / "near_duplicates.csv",
        bundle=RUN / "release/candidate/bundle.json",
    output:
        metrics=FIELD_RUN / "metrics.json",
        summary=FIELD_RUN / "field.json",
        species=report(
            FIELD_RUN / "species.csv",
            category="Field recordings",
            labels={"content": "scores per species"},
            caption="../report/field_species.rst",
        ),
        events=report(
            FIELD_RUN / "events.csv",
            category="Field recordings",
            labels={"content": "events and detections with their outcome"},
            caption="../report/field_events.rst",
        ),
        false_alarms=report(
            FIELD_RUN / "false_alarms.csv",
            category="Field recordings",
            labels={"content": "false alarms per hour"},
            caption="../report/field_false_alarms.rst",
        ),
        curves=FIELD_RUN / "curves.csv",
        excluded=report(
            FIELD_RUN / "excluded.csv",
            category="Field recordings",
            labels={"content": "recordings that are not evaluated"},
            caption="../report/field_excluded.rst",
        ),
        figure=report(
            FIELD_RUN / "precision_recall.png",
            category="Field recordings",
            labels={"content": "precision and recall"},
            caption="../report/field_species.rst",
        ),
        false_alarms_figure=report(
            FIELD_RUN / "false_alarms.png",
            category="Field recordings",
            labels={"content": "false alarms per hour (figure)"},
            caption="../report/field_false_alarms.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "field/evaluate.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "field/evaluate.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("field_evaluate"),
    params:
        settings=FIELD_SCORES,
        type=FIELD_TYPE,
        recorder_sessions=CONFIG.dataset.recorder_sessions,
        near_duplicates=CONFIG.corpus.near_duplicates,
        code=code_fingerprint("evaluation.field_evaluate"),
    shell:
        r"""
        python -m autobird.evaluation.field_evaluate \
            --settings {params.settings:q} \
            --type {params.type:q} \
            --recorder-sessions {params.recorder_sessions} \
            --near-duplicates {params.near_duplicates} \
            --manifests {input.manifests:q} \
            --recordings {input.recordings:q} \
            --windows {input.windows:q} \
            --detections {input.detections:q} \
            --answers {input.answers:q} \
            --boxes {input.boxes:q} \
            --labels {input.labels:q} \
            --grouping {input.grouping:q} \
            --exclusions {input.exclusions:q} \
            --leakage {input.leakage:q} \
            --pairs {input.pairs:q} \
            --bundle {input.bundle:q} \
            --metrics {output.metrics:q} \
            --summary {output.summary:q} \
            --species {output.species:q} \
            --events {output.events:q} \
            --false-alarms {output.false_alarms:q} \
            --curves {output.curves:q} \
            --excluded {output.excluded:q} \
            --figure {output.figure:q} \
            --false-alarms-figure {output.false_alarms_figure:q} \
            --log {log:q}
        """


rule field:
    """Measure the bundle on field recordings: snakemake field --config 'evaluation={field: {root: FOLDER}}'"""
    input:
        field_targets,
