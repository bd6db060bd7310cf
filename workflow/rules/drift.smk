"""The drift test: do current recordings differ from the recordings that the model was made with?

Needs: release/bundle, and the recordings that `drift.current` names: the test split, a folder, or the server's log.
Gives: drift/drift.json, drift/report.html; for a log also drift/selection.json.
"""


rule drift:
    """Test whether the current recordings differ from the training recordings, and write Evidently's report."""
    input:
        reference=RUN / "release/bundle/drift_reference.json",
        current=RUN / "drift/current.csv",
        selection=RUN / "drift/selection.json" if CURRENT_KIND == "log" else [],
    output:
        result=report(
            RUN / "drift/drift.json",
            category="Drift",
            labels={"content": "result of the drift test"},
            caption="../report/drift.rst",
        ),
        # Not in Snakemake's report: browsers show no embedded page of more than 2 MB, and it has 5 MB.
        html=RUN / "drift/report.html",
    log:
        LOGS / CONFIG.run.name / "drift.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "drift.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("drift"),
    params:
        settings=CONFIG.settings_json(DriftTestSettings, "drift"),
        code=code_fingerprint("drift.report"),
    shell:
        r"""
        python -m autobird.drift.report \
            --settings {params.settings:q} \
            --reference {input.reference:q} \
            --current {input.current:q} \
            --selection {input.selection:q} \
            --result {output.result:q} \
            --html {output.html:q} \
            --log {log:q}
        """


if CURRENT_KIND == "test":

    rule drift_current:
        """Compute the drift features of the test recordings."""
        input:
            description=RUN / "release/bundle/bundle.json",
            index=RUN / "dataset/index.parquet",
            predictions=RUN / "release/predictions.parquet",
            shards=every_batch(FEATURES / "mels/{batch}.npy"),
        output:
            RUN / "drift/current.csv",
        log:
            LOGS / CONFIG.run.name / "drift_current.log",
        benchmark:
            BENCHMARKS / CONFIG.run.name / "drift_current.tsv"
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("drift_current"),
        params:
            settings=CONFIG.settings_json(MelSettings, "features"),
            code=code_fingerprint("release.split_features"),
        shell:
            r"""
            python -m autobird.release.split_features \
                --settings {params.settings:q} \
                --description {input.description:q} \
                --index {input.index:q} \
                --predictions {input.predictions:q} \
                --shards {input.shards:q} \
                --output {output:q} \
                --log {log:q}
            """

elif CURRENT_KIND == "folder":

    rule drift_current:
        """Merge the drift features of a folder of recordings."""
        input:
            expand(
                str(RUN / "drift/batches/{batch}.features.csv"), batch=PREDICT_BATCHES
            ),
        output:
            RUN / "drift/current.csv",
        log:
            LOGS / CONFIG.run.name / "drift_current.log",
        benchmark:
            BENCHMARKS / CONFIG.run.name / "drift_current.tsv"
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("drift_current"),
        params:
            code=code_fingerprint("predict.merge"),
        shell:
            r"""
            python -m autobird.predict.merge \
                --tables {input:q} \
                --output {output:q} \
                --log {log:q}
            """

else:

    rule drift_current:
        """Read the drift features of the recordings in the server's log that the bundle of this run classified."""
        input:
            description=RUN / "release/bundle/bundle.json",
        output:
            current=RUN / "drift/current.csv",
            selection=RUN / "drift/selection.json",
        log:
            LOGS / CONFIG.run.name / "drift_current.log",
        benchmark:
            BENCHMARKS / CONFIG.run.name / "drift_current.tsv"
        # Only this machine can read the log.
        localrule: True
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("drift_current"),
        params:
            database=untracked(CONFIG.drift.current),
            digest=server_log_digest(),
            settings=CONFIG.settings_json(LogRangeSettings, "drift"),
            code=code_fingerprint("serving.export_log"),
        shell:
            r"""
            python -m autobird.serving.export_log \
                --settings {params.settings:q} \
                --database {params.database:q} \
                --description {input.description:q} \
                --output {output.current:q} \
                --selection {output.selection:q} \
                --log {log:q}
            """
