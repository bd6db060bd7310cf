"""From a checked corpus to labelled windows with mel spectrograms.

Needs: corpus/recordings, pcm, corpus/manifest/grouping.csv, corpus/checked.json.
Gives: segments, mels and embeddings (shared by all runs with the same `features.name`), and the dataset of this run.
"""


rule segment:
    """Cut the decoded recordings of a batch into windows and measure the level of each."""
    input:
        recordings=CORPUS / "recordings/{batch}.parquet",
        pcm=FEATURES / "pcm/{batch}.npy",
    output:
        FEATURES / "segments/{batch}.parquet",
    log:
        LOGS / CONFIG.features.name / "segment/{batch}.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "segment/{batch}.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("segment"),
    params:
        settings=CONFIG.settings_json(WindowSettings, "features"),
        code=code_fingerprint("audio.segment"),
    shell:
        r"""
        python -m autobird.audio.segment \
            --settings {params.settings:q} \
            --recordings {input.recordings:q} \
            --pcm {input.pcm:q} \
            --segments {output:q} \
            --log {log:q}
        """


rule mel_shards:
    """Compute the mel spectrograms of a batch."""
    input:
        segments=FEATURES / "segments/{batch}.parquet",
        pcm=FEATURES / "pcm/{batch}.npy",
    output:
        shard=FEATURES / "mels/{batch}.npy",
        table=FEATURES / "mels/{batch}.parquet",
    log:
        LOGS / CONFIG.features.name / "mel_shards/{batch}.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "mel_shards/{batch}.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("mel_shards"),
    params:
        settings=CONFIG.settings_json(MelSettings, "features"),
        code=code_fingerprint("audio.mel_shards"),
    shell:
        r"""
        python -m autobird.audio.mel_shards \
            --settings {params.settings:q} \
            --segments {input.segments:q} \
            --pcm {input.pcm:q} \
            --threads {threads} \
            --shard {output.shard:q} \
            --table {output.table:q} \
            --log {log:q}
        """


rule embed:
    """Compute the embeddings of the windows of a batch with the pretrained backbone."""
    input:
        audio=batch_audio,
        recordings=CORPUS / "recordings/{batch}.parquet",
        segments=FEATURES / "segments/{batch}.parquet",
    output:
        embeddings=EMBEDDINGS / "{batch}.npy",
        table=EMBEDDINGS / "{batch}.parquet",
    log:
        LOGS / CONFIG.features.name / "embed" / CONFIG.backbone.name / "{batch}.log",
    benchmark:
        BENCHMARKS
        / CONFIG.features.name
        / "embed"
        / CONFIG.backbone.name
        / "{batch}.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("embed"),
    params:
        settings=CONFIG.settings_json(WindowSettings, "features"),
        backbone=backbone_key,
        code=code_fingerprint("backbone.embed"),
        root=untracked(SOURCE_ROOTS),
        file=untracked(CONFIG.backbone.file or ""),
    shell:
        r"""
        python -m autobird.backbone.embed \
            --settings {params.settings:q} \
            --backbone {params.backbone:q} \
            --file {params.file:q} \
            --recordings {input.recordings:q} \
            --segments {input.segments:q} \
            --root {params.root:q} \
            --audio {input.audio:q} \
            --threads {threads} \
            --embeddings {output.embeddings:q} \
            --table {output.table:q} \
            --log {log:q}
        """


rule embeddings:
    """Compute the embeddings of all batches: snakemake embeddings"""
    input:
        every_batch(EMBEDDINGS / "{batch}.npy"),


rule unlabelled_manifest:
    """Write the manifest of a batch of unlabelled recordings."""

    # The digest in params is that of the batch at parse time, as in rule `manifest`.
    output:
        TEACHING / "unlabelled/{batch}.manifest.csv",
    log:
        LOGS / CONFIG.features.name / "teach/unlabelled/{batch}.manifest.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "teach/unlabelled/{batch}.manifest.tsv"
    localrule: True
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("unlabelled_manifest"),
    params:
        digest=unlabelled_digest,
        tables=untracked(UNLABELLED_TABLES),
    shell:
        r"""
        python -m autobird.sources.manifest \
            --digest {params.digest:q} \
            --tables {params.tables:q} \
            --output {output:q} \
            --log {log:q}
        """


if not SHARED:

    rule unlabelled_pack:
        """Pack a batch of unlabelled recordings into a tar archive for jobs that cannot read their folder."""
        input:
            manifest=TEACHING / "unlabelled/{batch}.manifest.csv",
        output:
            TEACHING / "unlabelled/{batch}.tar",
        log:
            LOGS / CONFIG.features.name / "teach/unlabelled/{batch}.pack.log",
        benchmark:
            BENCHMARKS / CONFIG.features.name / "teach/unlabelled/{batch}.pack.tsv"
        # Only this machine can read the folder.
        localrule: True
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("pack"),
        params:
            code=code_fingerprint("audio.pack"),
            root=untracked(CONFIG.train.unlabelled or ""),
        shell:
            r"""
            python -m autobird.audio.pack \
                --manifest {input.manifest:q} \
                --root {params.root:q} \
                --output {output:q} \
                --log {log:q}
            """


rule teach:
    """Make training sounds of a batch of recordings, and compute the teacher's embeddings of them."""
    input:
        audio=lambda wildcards: (
            unlabelled_audio(wildcards) if wildcards.kind else batch_audio(wildcards)
        ),
        recordings=lambda wildcards: (
            [] if wildcards.kind else CORPUS / f"recordings/{wildcards.batch}.parquet"
        ),
        manifest=lambda wildcards: (
            TEACHING / f"unlabelled/{wildcards.batch}.manifest.csv"
            if wildcards.kind
            else []
        ),
    output:
        mels=TEACHING / "{kind}{batch}.npy",
        embeddings=TEACHING / "{kind}{batch}.embeddings.npy",
        table=TEACHING / "{kind}{batch}.parquet",
    log:
        LOGS
        / CONFIG.features.name
        / "teach"
        / CONFIG.backbone.name
        / "{kind}{batch}.log",
    benchmark:
        (
            BENCHMARKS
            / CONFIG.features.name
            / "teach"
            / CONFIG.backbone.name
            / "{kind}{batch}.tsv"
        )
    wildcard_constraints:
        kind="(unlabelled/)?",
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("teach"),
    params:
        settings=lambda wildcards: teach_settings(0.5 if wildcards.kind else 1.0),
        front_end=TEACH_FRONT_END,
        backbone=backbone_key,
        code=code_fingerprint("backbone.teach"),
        root=lambda wildcards, threads: (
            CONFIG.train.unlabelled if wildcards.kind else SOURCE_ROOTS
        ),
        file=untracked(CONFIG.backbone.file or ""),
    shell:
        r"""
        python -m autobird.backbone.teach \
            --settings {params.settings:q} \
            --front-end {params.front_end:q} \
            --backbone {params.backbone:q} \
            --file {params.file:q} \
            --recordings {input.recordings:q} \
            --manifest {input.manifest:q} \
            --root {params.root:q} \
            --audio {input.audio:q} \
            --threads {threads} \
            --mels {output.mels:q} \
            --embeddings {output.embeddings:q} \
            --table {output.table:q} \
            --log {log:q}
        """


rule dataset:
    """Label the windows, drop quiet ones, assign recordings to training, validation and test, and measure leakage."""
    input:
        # ancient: a file that is no audio changes a number in it, and must not repeat the training.
        checked=ancient(CORPUS / "checked.json"),
        grouping=CORPUS / "manifest/grouping.csv",
        quarantine=CORPUS / "quarantine.csv",
        near_duplicates=CORPUS / "near_duplicates.csv",
        boxes=CORPUS / "manifest/boxes.csv",
        labels_table=CORPUS / "manifest/labels.csv",
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
        segments=every_batch(FEATURES / "segments/{batch}.parquet"),
        mels=every_batch(FEATURES / "mels/{batch}.parquet"),
    output:
        index=RUN / "{member}dataset/index.parquet",
        labels=RUN / "{member}dataset/labels.json",
        normalisation=RUN / "{member}dataset/normalisation.json",
        leakage=report(
            RUN / "{member}dataset/leakage.json",
            category=category("Data"),
            subcategory=member_id,
            labels={"content": "leakage between splits (numbers)"},
            caption="../report/leakage.rst",
        ),
        counts=report(
            RUN / "{member}dataset/counts.json",
            category=category("Data"),
            subcategory=member_id,
            labels={"content": "numbers of recordings and windows"},
            caption="../report/counts.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "{member}dataset.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "{member}dataset.tsv"
    wildcard_constraints:
        member=members_where(lambda member: member.dataset == member.id),
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("dataset"),
    params:
        settings=dataset_settings,
        code=code_fingerprint("dataset.dataset"),
        state=state("dataset"),
    shell:
        r"""
        python -m autobird.dataset.dataset \
            --settings {params.settings:q} \
            --recordings {input.recordings:q} \
            --segments {input.segments:q} \
            --mels {input.mels:q} \
            --grouping {input.grouping:q} \
            --quarantine {input.quarantine:q} \
            --near-duplicates {input.near_duplicates:q} \
            --boxes {input.boxes:q} \
            --labels-table {input.labels_table:q} \
            --state {params.state:q} \
            --index {output.index:q} \
            --labels {output.labels:q} \
            --normalisation {output.normalisation:q} \
            --leakage {output.leakage:q} \
            --counts {output.counts:q} \
            --log {log:q}
        """


rule data_figures:
    """Plot species, durations, leakage and example spectrograms."""
    input:
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
        quarantine=CORPUS / "quarantine.csv",
        index=RUN / "dataset/index.parquet",
        labels=RUN / "dataset/labels.json",
        leakage=RUN / "dataset/leakage.json",
        shards=every_batch(FEATURES / "mels/{batch}.npy"),
    output:
        species=report(
            RUN / "dataset/species.png",
            category="Data",
            labels={"content": "recordings and windows per species"},
            caption="../report/species.rst",
        ),
        durations=report(
            RUN / "dataset/durations.png",
            category="Data",
            labels={"content": "durations of the recordings"},
            caption="../report/durations.rst",
        ),
        leakage=report(
            RUN / "dataset/leakage.png",
            category="Data",
            labels={"content": "leakage between splits (figure)"},
            caption="../report/leakage.rst",
        ),
        spectrograms=report(
            RUN / "dataset/spectrograms.png",
            category="Data",
            labels={"content": "example spectrograms"},
            caption="../report/spectrograms.rst",
        ),
    log:
        LOGS / CONFIG.run.name / "data_figures.log",
    benchmark:
        BENCHMARKS / CONFIG.run.name / "data_figures.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("data_figures"),
    params:
        settings=CONFIG.settings_json(MelSettings, "features"),
        code=code_fingerprint("dataset.figures"),
    shell:
        r"""
        python -m autobird.dataset.figures \
            --settings {params.settings:q} \
            --recordings {input.recordings:q} \
            --quarantine {input.quarantine:q} \
            --index {input.index:q} \
            --labels {input.labels:q} \
            --leakage {input.leakage:q} \
            --shards {input.shards:q} \
            --species {output.species:q} \
            --durations {output.durations:q} \
            --leakage-figure {output.leakage:q} \
            --spectrograms {output.spectrograms:q} \
            --log {log:q}
        """
