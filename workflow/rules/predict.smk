"""Run a bundle on a folder of field recordings, in batches: `snakemake predict --config 'predict={input: FOLDER}'`.

Needs: a bundle (of this run, or the one that `predict.bundle` names), the table of thresholds beside it if there is one, the folder,
and the lists and tables of species that the settings name. The bundle of this run is made first if it is not up to date, with all
stages before it, also if `predict.bundle` names it; another bundle is used as it is.
Gives: <run>/predict/<name>/detections.csv, detections.files.csv and skipped.csv; if `drift.current` is a folder, its drift features.
"""


localrules:
    predict_manifest,
    predict,


rule predict_manifest:
    """Write the manifest of a batch of field recordings."""

    # The digest in params is that of the batch at parse time, as in rule `manifest`.
    output:
        RUN / "{task}/batches/{batch}.manifest.csv",
    log:
        LOGS / CONFIG.run.name / "{task}/{batch}.manifest.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{task}/{batch}.manifest.tsv"
    wildcard_constraints:
        task=PREDICT_TASKS,
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("predict_manifest"),
    params:
        digest=field_manifest_digest,
        tables=untracked(FIELD_TABLES),
    shell:
        r"""
        python -m autobird.sources.manifest \
            --digest {params.digest:q} \
            --tables {params.tables:q} \
            --output {output:q} \
            --log {log:q}
        """


if not SHARED:

    rule predict_pack:
        """Pack a batch of field recordings into a tar archive for jobs that cannot read their folder."""
        input:
            manifest=RUN / "{task}/batches/{batch}.manifest.csv",
        output:
            RUN / "{task}/batches/{batch}.tar",
        log:
            LOGS / CONFIG.run.name / "{task}/{batch}.pack.log",
        benchmark:
            BENCHMARKS / CONFIG.run.name / "{task}/{batch}.pack.tsv"
        wildcard_constraints:
            task=PREDICT_TASKS,
        # Only this machine can read the folder.
        localrule: True
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("pack"),
        params:
            code=code_fingerprint("audio.pack"),
            root=field_root,
        shell:
            r"""
            python -m autobird.audio.pack \
                --manifest {input.manifest:q} \
                --root {params.root:q} \
                --output {output:q} \
                --log {log:q}
            """

    rule predict_bundle:
        """Copy the bundle named by predict.bundle to the storage that the jobs read."""
        input:
            [local(NAMED_BUNDLE / name) for name in FILES],
        output:
            [RUN / PREDICT_TASK / "bundle" / name for name in FILES],
        log:
            LOGS / CONFIG.run.name / PREDICT_TASK / "bundle.log",
        # Only this machine can read a bundle that `predict.bundle` names.
        localrule: True
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("predict_manifest"),
        shell:
            'cp {input:q} "$(dirname {output[0]:q})" > {log:q} 2>&1'

    rule predict_overlay:
        """Copy the table of thresholds beside the bundle named by predict.bundle."""
        input:
            local(NAMED_OVERLAY),
        output:
            RUN / PREDICT_TASK / "bundle.thresholds.csv",
        log:
            LOGS / CONFIG.run.name / PREDICT_TASK / "overlay.log",
        # Only this machine can read what is beside the bundle.
        localrule: True
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("predict_manifest"),
        shell:
            "cp {input:q} {output:q} > {log:q} 2>&1"


if not SHARED and SPECIES_TABLES:

    rule predict_species_tables:
        """Copy the lists and tables of species that the settings name (predict.species, names, codes)."""
        input:
            [local(path) for path in SPECIES_TABLES.values()],
        output:
            [RUN / PREDICT_TASK / f"{name}.table" for name in SPECIES_TABLES],
        log:
            LOGS / CONFIG.run.name / PREDICT_TASK / "species_tables.log",
        # Only this machine can read the files that the settings name.
        localrule: True
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("predict_manifest"),
        shell:
            r"""
            from=({input:q}) to=({output:q})
            for i in "${{!from[@]}}"; do cp "${{from[i]}}" "${{to[i]}}"; done >{log:q} 2>&1
            """


rule predict_batch:
    """Run the bundle on a batch of field recordings."""
    input:
        manifest=RUN / "{task}/batches/{batch}.manifest.csv",
        audio=field_audio,
        bundle=bundle_files,
        overlay=bundle_overlay,
        species=species_table("species"),
        names=species_table("names"),
        codes=species_table("codes"),
    output:
        detections=RUN / "{task}/batches/{batch}.detections.csv",
        files=RUN / "{task}/batches/{batch}.detections.files.csv",
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
    resources:
        **needs("predict_batch"),
    params:
        root=field_root,
        code=code_fingerprint("predict.batch"),
        backbone=untracked(CONFIG.backbone.file or ""),
        places=field_places,
        thresholds=field_thresholds,
    shell:
        r"""
        python -m autobird.predict.batch \
            --bundle "$(dirname {input.bundle[0]:q})" \
            --manifest {input.manifest:q} \
            --root {params.root:q} \
            --audio {input.audio:q} \
            --backbone {params.backbone:q} \
            {params.places:q} \
            --overlay {input.overlay:q} \
            {params.thresholds:q} \
            --species {input.species:q} \
            --names {input.names:q} \
            --codes {input.codes:q} \
            --detections {output.detections:q} \
            --files {output.files:q} \
            --skipped {output.skipped:q} \
            --features {output.features:q} \
            --log {log:q}
        """


rule predict_merge:
    """Merge the tables of all batches."""
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
        table="detections|detections.files|skipped",
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("predict_merge"),
    params:
        code=code_fingerprint("predict.merge"),
    shell:
        r"""
        python -m autobird.predict.merge \
            --tables {input:q} \
            --output {output:q} \
            --log {log:q}
        """


rule predict:
    """Run a bundle on a folder of field recordings: snakemake predict --config 'predict={input: FOLDER}'

    With the bundle of this run, the whole workflow runs first if it is not up to date; predict.bundle names another one.
    """
    input:
        predict_targets,
