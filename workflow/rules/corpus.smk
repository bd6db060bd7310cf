"""From sources to a checked corpus.

Needs: the source that `corpus.type` names.
Gives: corpus/rows, corpus/audio (demo), corpus/recordings, catalogue, attribution, quarantine, checked.json.
"""


localrules:
    rows,


rule rows:
    # Its params carry the digest of what the source holds now, so that a changed recording reruns just its batch.
    output:
        CORPUS / "rows/{table}.csv",
    log:
        LOGS / CONFIG.features.name / "rows/{table}.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "rows/{table}.tsv"
    wildcard_constraints:
        table=r"\d+|grouping|details",
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("rows"),
    params:
        settings=untracked(CONFIG.corpus.model_dump_json()),
        digest=digest_of_table,
        cache=untracked(HASHES),
    shell:
        r"""
        python -m autobird.corpus.rows \
            --settings {params.settings:q} \
            --table {wildcards.table:q} \
            --digest {params.digest:q} \
            --cache {params.cache:q} \
            --output {output:q} \
            --log {log:q}
        """


if DEMO:

    rule download:
        input:
            rows=CORPUS / "rows/{batch}.csv",
        output:
            audio=CORPUS / "audio/{batch}.tar",
            truth=CORPUS / "truth/{batch}.csv",
        log:
            LOGS / CONFIG.features.name / "download/{batch}.log",
        benchmark:
            BENCHMARKS / CONFIG.features.name / "download/{batch}.tsv"
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("download"),
        params:
            settings=CONFIG.corpus.demo.model_dump_json(),
            code=code("corpus.download"),
        shell:
            r"""
            python -m autobird.corpus.download \
                --settings {params.settings:q} \
                --rows {input.rows:q} \
                --audio {output.audio:q} \
                --truth {output.truth:q} \
                --log {log:q}
            """

elif not SHARED:

    rule pack:
        input:
            rows=CORPUS / "rows/{batch}.csv",
        output:
            CORPUS / "audio/{batch}.tar",
        log:
            LOGS / CONFIG.features.name / "pack/{batch}.log",
        benchmark:
            BENCHMARKS / CONFIG.features.name / "pack/{batch}.tsv"
        # On the machine that has the folder; jobs elsewhere get the tar.
        localrule: True
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("pack"),
        params:
            code=code("audio.pack"),
            root=untracked(CONFIG.corpus.root),
        shell:
            r"""
            python -m autobird.audio.pack \
                --rows {input.rows:q} \
                --root {params.root:q} \
                --output {output:q} \
                --log {log:q}
            """


rule recordings:
    input:
        audio=audio_of,
        rows=CORPUS / "rows/{batch}.csv",
    output:
        CORPUS / "recordings/{batch}.parquet",
    log:
        LOGS / CONFIG.features.name / "recordings/{batch}.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "recordings/{batch}.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("recordings"),
    params:
        settings=CONFIG.part(AcceptSettings, "corpus"),
        code=code("corpus.recordings"),
        root=untracked(CONFIG.corpus.root or ""),
    shell:
        r"""
        python -m autobird.corpus.recordings \
            --settings {params.settings:q} \
            --rows {input.rows:q} \
            --root {params.root:q} \
            --audio {input.audio:q} \
            --output {output:q} \
            --log {log:q}
        """


rule catalogue:
    input:
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
        grouping=CORPUS / "rows/grouping.csv",
        details=CORPUS / "rows/details.csv",
    output:
        catalogue=CORPUS / "catalogue.parquet",
        attribution=report(
            CORPUS / "ATTRIBUTION.csv",
            category="Data",
            labels={"what": "attribution"},
            caption="../report/attribution.rst",
        ),
    log:
        LOGS / CONFIG.features.name / "catalogue.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "catalogue.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("catalogue"),
    params:
        code=code("corpus.catalogue"),
    shell:
        r"""
        python -m autobird.corpus.catalogue \
            --recordings {input.recordings:q} \
            --grouping {input.grouping:q} \
            --details {input.details:q} \
            --catalogue {output.catalogue:q} \
            --attribution {output.attribution:q} \
            --log {log:q}
        """


rule quarantine:
    input:
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
    output:
        report(
            CORPUS / "quarantine.csv",
            category="Data",
            labels={"what": "quarantine"},
            caption="../report/quarantine.rst",
        ),
    log:
        LOGS / CONFIG.features.name / "quarantine.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "quarantine.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("quarantine"),
    params:
        code=code("corpus.quarantine"),
    shell:
        r"""
        python -m autobird.corpus.quarantine \
            --recordings {input.recordings:q} \
            --output {output:q} \
            --log {log:q}
        """


rule check_corpus:
    input:
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
        quarantine=CORPUS / "quarantine.csv",
    output:
        CORPUS / "checked.json",
    log:
        LOGS / CONFIG.features.name / "check_corpus.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "check_corpus.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("check_corpus"),
    params:
        settings=CONFIG.part(CheckSettings, "corpus"),
        code=code("corpus.check_corpus"),
    shell:
        r"""
        python -m autobird.corpus.check_corpus \
            --settings {params.settings:q} \
            --recordings {input.recordings:q} \
            --quarantine {input.quarantine:q} \
            --output {output:q} \
            --log {log:q}
        """
