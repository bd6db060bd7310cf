"""Sweep: trainings with other settings, compared on validation recordings: `snakemake sweep`.

Needs: dataset, model and release/scores of the members that are trials (members of the run and of a cross-validation among them).
Gives: sweep/trials.csv, importance.csv, sweep.png, best.yaml, sweep.json, rung<n>.json.
"""


localrules:
    sweep,


def sweep_trials(rung):
    """The trials of a rung, that with the settings of the run first; those of later rungs are known when the one before is done."""
    if rung == 1:
        return [trial.id for trial in SWEEP.trials]
    before = checkpoints.sweep_rung.get(rung=rung - 1).output[0]
    # In a bucket, the file may not be on this machine yet.
    if not Path(before).exists() and before.is_storage:
        before.storage_object.retrieve_object()
    survivors = set(json.loads(Path(before).read_text())["survivors"])
    return [trial.id for trial in SWEEP.trials if trial.id in survivors]


def sweep_trainings(rung):
    """Fold and member of the trainings of a rung, those of the first trial first."""
    return [
        (fold, member)
        for trial in sweep_trials(rung)
        for fold, _, member in SWEEP.trainings(trial, rung)
    ]


def sweep_predictions(wildcards):
    """The logits of the trainings of a rung."""
    return [
        RUN / f"{prefix_of(member)}release/scores/{network_of(member)}.parquet"
        for _, member in sweep_trainings(int(wildcards.rung))
    ]


def sweep_labels(wildcards):
    """The species of the networks of a rung."""
    return [
        RUN / MEMBERS[prefix_of(member)].dataset_prefix / "dataset/labels.json"
        for _, member in sweep_trainings(int(wildcards.rung))
    ]


def sweep_keep(wildcards):
    """The share of the trials that reach the next rung, as an option; nothing on the last rung."""
    last = int(wildcards.rung) == len(SWEEP.rungs)
    return "" if last else f"--keep {CONFIG.sweep.keep}"


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


rule sweep:
    """Train and compare the trials of sweep.file: snakemake sweep"""
    input:
        sweep_targets,
