"""Sweep: trainings with other settings, compared on validation recordings: `snakemake sweep`.

Needs: dataset, model and release/scores of the members that are trials (members of the run and of a cross-validation among them).
Gives: sweep/trials.csv, importance.csv, sweep.png, best.yaml, sweep.json, rung<n>.json; with run.tracking tracked.json, which says what
was logged.
"""


localrules:
    sweep,


checkpoint sweep_rung:
    """Compare the trials of a rung on validation recordings, and choose those of the next rung."""
    input:
        predictions=sweep_predictions,
        labels=sweep_labels,
        index=RUN / "dataset/index.parquet",
    output:
        RUN / "sweep/rung{rung}.json",
    log:
        LOGS / CONFIG.run.name / "sweep_rung/{rung}.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "sweep_rung/{rung}.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("sweep_rung"),
    params:
        trials=lambda wildcards: SWEEP.description(
            sweep_trials(int(wildcards.rung)), int(wildcards.rung)
        ),
        metric=SWEEP.definition.metric if SWEEP else "",
        keep=sweep_keep,
        settings=CONFIG.settings_json(EvaluationSettings, "evaluation"),
        code=code_fingerprint("sweep.rung"),
    shell:
        r"""
        python -m autobird.sweep.rung \
            --settings {params.settings:q} \
            --trials {params.trials:q} \
            --predictions {input.predictions:q} \
            --labels {input.labels:q} \
            --index {input.index:q} \
            --metric {params.metric} \
            {params.keep} \
            --output {output:q} \
            --log {log:q}
        """


rule sweep_report:
    """Write the table of the trials, the importance of the parameters, and the best settings."""
    input:
        rungs=[
            RUN / f"sweep/rung{rung}.json"
            for rung in range(1, len(SWEEP.rungs) + 1 if SWEEP else 1)
        ],
    output:
        table=report(
            RUN / "sweep/trials.csv",
            category="Sweep",
            labels={"content": "trials (table)"},
            caption="../report/sweep.rst",
        ),
        importance=report(
            RUN / "sweep/importance.csv",
            category="Sweep",
            labels={"content": "importance of the parameters (table)"},
            caption="../report/sweep.rst",
        ),
        figure=report(
            RUN / "sweep/sweep.png",
            category="Sweep",
            labels={"content": "trials and importance of the parameters"},
            caption="../report/sweep.rst",
        ),
        best=RUN / "sweep/best.yaml",
        result=RUN / "sweep/sweep.json",
    log:
        LOGS / CONFIG.run.name / "sweep_report.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "sweep_report.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("sweep_report"),
    params:
        logarithmic=(
            [p.name for p in SWEEP.definition.parameters if p.is_logarithmic]
            if SWEEP
            else []
        ),
        code=code_fingerprint("sweep.report"),
    shell:
        r"""
        python -m autobird.sweep.report \
            --rungs {input.rungs:q} \
            --logarithmic {params.logarithmic:q} \
            --table {output.table:q} \
            --importance {output.importance:q} \
            --figure {output.figure:q} \
            --best {output.best:q} \
            --result {output.result:q} \
            --log {log:q}
        """


rule track_sweep:
    """Log the scores of the trials, their table and the figure to W&B."""
    input:
        table=RUN / "sweep/trials.csv",
        importance=RUN / "sweep/importance.csv",
        figure=RUN / "sweep/sweep.png",
        result=RUN / "sweep/sweep.json",
    output:
        RUN / "sweep/tracked.json",
    log:
        LOGS / CONFIG.run.name / "track_sweep.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "track_sweep.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("track_sweep"),
    params:
        track=CONFIG.run.tracking,
        group=untracked(CONFIG.run.name),
        code=code_fingerprint("release.track_sweep"),
    shell:
        r"""
        python -m autobird.release.track_sweep \
            --track {params.track} \
            --group {params.group:q} \
            --table {input.table:q} \
            --importance {input.importance:q} \
            --figure {input.figure:q} \
            --result {input.result:q} \
            --output {output:q} \
            --log {log:q}
        """


rule sweep:
    """Train and compare the trials of sweep.file: snakemake sweep"""
    input:
        sweep_targets,
