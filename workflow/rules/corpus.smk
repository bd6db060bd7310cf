"""From the source of the recordings to a checked corpus.

Needs: the source that `corpus.type` names.
Gives: corpus/manifest, corpus/audio (of sources that are downloaded or synthesised), corpus/recordings,
corpus/landmarks, corpus/landmark_votes, near_duplicates.csv, quarantine.csv, checked.json; catalogue, attribution, licences, figures.
"""


localrules:
    manifest,


rule manifest:
    """Write one table of the source's listing: the manifest of a batch, or a table about all recordings."""

    # The digest in params is that of the table at parse time: a changed recording reruns only its own batch.
    output:
        CORPUS / "manifest/{table}.csv",
    log:
        LOGS / CONFIG.features.name / "manifest/{table}.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "manifest/{table}.tsv"
    wildcard_constraints:
        table=r"\d+|grouping|details|exclusions|boxes|labels|kinds|not_audio",
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("manifest"),
    params:
        digest=manifest_digest,
        tables=untracked(TABLES),
    shell:
        r"""
        python -m autobird.sources.manifest \
            --digest {params.digest:q} \
            --tables {params.tables:q} \
            --output {output:q} \
            --log {log:q}
        """


if DEMO:

    rule download:
        """Synthesise the demo recordings of a batch and write them to a tar archive."""
        input:
            manifest=CORPUS / "manifest/{batch}.csv",
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
            # The manifest of a batch states what determines the sound of each recording, so a larger demo synthesises only the batches
            # with new recordings again.
            settings=untracked(demo_settings().model_dump_json()),
            demo=[demo_settings().species, demo_settings().seed],
            code=code_fingerprint("synth.synthesise"),
        shell:
            r"""
            python -m autobird.synth.synthesise \
                --settings {params.settings:q} \
                --manifest {input.manifest:q} \
                --audio {output.audio:q} \
                --truth {output.truth:q} \
                --log {log:q}
            """

elif DOWNLOADED:

    rule download:
        """Download the recordings of a batch and write them to a tar archive."""
        input:
            manifest=CORPUS / "manifest/{batch}.csv",
        output:
            audio=CORPUS / "audio/{batch}.tar",
            fetched=CORPUS / "audio/{batch}.csv",
        log:
            LOGS / CONFIG.features.name / "download/{batch}.log",
        benchmark:
            BENCHMARKS / CONFIG.features.name / "download/{batch}.tsv"
        # A local zip file can only be read on this machine.
        localrule: bool(ARCHIVES)
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("download"),
            # xeno-canto limits the rate of requests; a single download job keeps to `corpus.fetch.interval`.
            downloads=int(
                any(
                    source.type == "xeno_canto"
                    for source in CONFIG.corpus.sources or (CONFIG.corpus,)
                )
            ),
        params:
            # Without a code fingerprint: a new version of the code must not repeat the downloads.
            settings=untracked(CONFIG.corpus.fetch.model_dump_json()),
            archive=untracked(ARCHIVES),
        shell:
            r"""
            python -m autobird.sources.download \
                --settings {params.settings:q} \
                --manifest {input.manifest:q} \
                --archive {params.archive:q} \
                --audio {output.audio:q} \
                --fetched {output.fetched:q} \
                --log {log:q}
            """


if not SHARED and "folder" in STORAGES:

    rule pack:
        """Pack the local recordings of a batch into a tar archive for jobs that cannot read their folders."""
        input:
            manifest=CORPUS / "manifest/{batch}.csv",
        output:
            PACKED,
        log:
            LOGS / CONFIG.features.name / "pack/{batch}.log",
        benchmark:
            BENCHMARKS / CONFIG.features.name / "pack/{batch}.tsv"
        # Only this machine can read the folder.
        localrule: True
        conda:
            "../../envs/autobird.yaml"
        resources:
            **needs("pack"),
        params:
            code=code_fingerprint("audio.pack"),
            root=untracked(SOURCE_ROOTS),
        shell:
            r"""
            python -m autobird.audio.pack \
                --manifest {input.manifest:q} \
                --root {params.root:q} \
                --output {output:q} \
                --log {log:q}
            """


rule recordings:
    """Decode the recordings of a batch; store their audio, their properties and the landmarks of their spectrograms."""
    input:
        audio=batch_audio,
        fetched=batch_fetch_results,
        manifest=CORPUS / "manifest/{batch}.csv",
    output:
        recordings=CORPUS / "recordings/{batch}.parquet",
        landmarks=CORPUS / "landmarks/{batch}.npy",
        pcm=(
            temp(FEATURES / "pcm/{batch}.npy")
            if CONFIG.features.clean_pcm
            else FEATURES / "pcm/{batch}.npy"
        ),
    log:
        LOGS / CONFIG.features.name / "recordings/{batch}.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "recordings/{batch}.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("recordings"),
    params:
        settings=CONFIG.settings_json(RecordingsStageSettings, "corpus", "features"),
        code=code_fingerprint("corpus.recordings"),
        root=untracked(SOURCE_ROOTS),
    shell:
        r"""
        python -m autobird.corpus.recordings \
            --settings {params.settings:q} \
            --manifest {input.manifest:q} \
            --root {params.root:q} \
            --audio {input.audio:q} \
            --fetched {input.fetched:q} \
            --recordings {output.recordings:q} \
            --landmarks {output.landmarks:q} \
            --pcm {output.pcm:q} \
            --threads {threads} \
            --log {log:q}
        """


rule landmark_votes:
    """Find the landmarks that recordings of all batches have in common, in one range of hashes."""
    input:
        landmarks=every_batch(CORPUS / "landmarks/{batch}.npy"),
    output:
        # Twice as large as the landmarks, and needed by near_duplicates alone.
        votes=temp(CORPUS / "landmark_votes/{range}.npy"),
        summary=CORPUS / "landmark_votes/{range}.json",
    log:
        LOGS / CONFIG.features.name / "landmark_votes/{range}.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "landmark_votes/{range}.tsv"
    wildcard_constraints:
        range=r"\d+",
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("landmark_votes"),
    params:
        ranges=len(HASH_RANGES),
        code=code_fingerprint("corpus.landmark_votes"),
    shell:
        r"""
        python -m autobird.corpus.landmark_votes \
            --landmarks {input.landmarks:q} \
            --range {wildcards.range} \
            --ranges {params.ranges} \
            --votes {output.votes:q} \
            --summary {output.summary:q} \
            --log {log:q}
        """


rule near_duplicates:
    """Find pairs of recordings that contain the same audio."""
    input:
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
        landmarks=every_batch(CORPUS / "landmarks/{batch}.npy"),
        votes=every_hash_range(CORPUS / "landmark_votes/{range}.npy"),
        summaries=every_hash_range(CORPUS / "landmark_votes/{range}.json"),
    output:
        report(
            CORPUS / "near_duplicates.csv",
            category="Data",
            labels={"content": "recordings with the same audio"},
            caption="../report/near_duplicates.rst",
        ),
    log:
        LOGS / CONFIG.features.name / "near_duplicates.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "near_duplicates.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("near_duplicates"),
    params:
        settings=CONFIG.settings_json(NearDuplicateSettings, "corpus"),
        code=code_fingerprint("corpus.near_duplicates"),
    shell:
        r"""
        python -m autobird.corpus.near_duplicates \
            --settings {params.settings:q} \
            --recordings {input.recordings:q} \
            --landmarks {input.landmarks:q} \
            --votes {input.votes:q} \
            --summaries {input.summaries:q} \
            --output {output:q} \
            --log {log:q}
        """


rule quarantine:
    """List the recordings that are not used, each with the reason."""
    input:
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
        exclusions=CORPUS / "manifest/exclusions.csv",
        near_duplicates=CORPUS / "near_duplicates.csv",
        kinds=CORPUS / "manifest/kinds.csv",
    output:
        report(
            CORPUS / "quarantine.csv",
            category="Data",
            labels={"content": "quarantined recordings"},
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
        code=code_fingerprint("corpus.quarantine"),
    shell:
        r"""
        python -m autobird.corpus.quarantine \
            --recordings {input.recordings:q} \
            --exclusions {input.exclusions:q} \
            --near-duplicates {input.near_duplicates:q} \
            --kinds {input.kinds:q} \
            --output {output:q} \
            --log {log:q}
        """


rule catalogue:
    """Join audio properties, metadata and exclusions into one table; write the attribution and count the licences."""
    input:
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
        grouping=CORPUS / "manifest/grouping.csv",
        details=CORPUS / "manifest/details.csv",
        kinds=CORPUS / "manifest/kinds.csv",
        quarantine=CORPUS / "quarantine.csv",
    output:
        catalogue=CORPUS / "catalogue.parquet",
        attribution=report(
            CORPUS / "ATTRIBUTION.csv",
            category="Data",
            labels={"content": "attribution"},
            caption="../report/attribution.rst",
        ),
        page=CORPUS / "ATTRIBUTION.md",
        licences=report(
            CORPUS / "licences.json",
            category="Data",
            labels={"content": "licences"},
            caption="../report/licences.rst",
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
        settings=CONFIG.corpus.licences.model_dump_json(),
        code=code_fingerprint("corpus.catalogue"),
    shell:
        r"""
        python -m autobird.corpus.catalogue \
            --settings {params.settings:q} \
            --recordings {input.recordings:q} \
            --grouping {input.grouping:q} \
            --details {input.details:q} \
            --kinds {input.kinds:q} \
            --quarantine {input.quarantine:q} \
            --catalogue {output.catalogue:q} \
            --attribution {output.attribution:q} \
            --page {output.page:q} \
            --licences {output.licences:q} \
            --log {log:q}
        """


rule corpus_figures:
    """Plot durations, formats, licences, species and places of the recordings."""
    input:
        CORPUS / "catalogue.parquet",
    output:
        overview=report(
            CORPUS / "overview.png",
            category="Data",
            labels={"content": "overview of the corpus"},
            caption="../report/overview.rst",
        ),
        species=report(
            CORPUS / "species.png",
            category="Data",
            labels={"content": "recordings and hours per species"},
            caption="../report/corpus_species.rst",
        ),
        map=report(
            CORPUS / "map.png",
            category="Data",
            labels={"content": "map of recording places"},
            caption="../report/map.rst",
        ),
    log:
        LOGS / CONFIG.features.name / "corpus_figures.log",
    benchmark:
        BENCHMARKS / CONFIG.features.name / "corpus_figures.tsv"
    conda:
        "../../envs/autobird.yaml"
    resources:
        **needs("corpus_figures"),
    params:
        code=code_fingerprint("corpus.figures"),
    shell:
        r"""
        python -m autobird.corpus.figures \
            --catalogue {input:q} \
            --overview {output.overview:q} \
            --species {output.species:q} \
            --map {output.map:q} \
            --log {log:q}
        """


rule check_corpus:
    """Stop the run if too large a share of the recordings is quarantined."""
    input:
        recordings=every_batch(CORPUS / "recordings/{batch}.parquet"),
        quarantine=CORPUS / "quarantine.csv",
        kinds=CORPUS / "manifest/kinds.csv",
        not_audio=CORPUS / "manifest/not_audio.csv",
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
        settings=CONFIG.settings_json(CheckSettings, "corpus"),
        code=code_fingerprint("corpus.check"),
    shell:
        r"""
        python -m autobird.corpus.check \
            --settings {params.settings:q} \
            --recordings {input.recordings:q} \
            --quarantine {input.quarantine:q} \
            --kinds {input.kinds:q} \
            --not-audio {input.not_audio:q} \
            --output {output:q} \
            --log {log:q}
        """


rule refresh_sources:
    """List each remote source again and write the listing to its lock file (only on demand)."""

    # Apart from `download`, this is the only rule that uses the network.
    log:
        LOGS / "refresh_sources.log",
    localrule: True
    conda:
        "../../envs/autobird.yaml"
    params:
        settings=untracked(CONFIG.settings_json(SourceSettings, "corpus")),
    shell:
        r"""
        python -m autobird.sources.refresh \
            --settings {params.settings:q} \
            --log {log:q}
        """
