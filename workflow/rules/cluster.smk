"""Resources of the rules, the place of checkpoints, and checks of the cluster before the first job.

This file has no rules, and does not change what a rule computes.
"""

import logging
import os

from autobird.cluster import google, slurm
from autobird.cluster.hints import HintHandler
from autobird.cluster.needs import (
    BACKBONE_NEEDS,
    NEEDS,
    AudioSizes,
    ResourceRequest,
    epochs_of_student,
    resources,
)

# Prefix of the files of all jobs if they are in a bucket, else empty.
STORAGE = (workflow.storage_settings.default_storage_prefix or "").rstrip("/")
GOOGLE = workflow.storage_settings.default_storage_provider == "gcs"
SITE = slurm.site_resources(os.environ)
# Processes of a training on each node, and nodes; the same for all members of the run.
PROCESSES = {"devices": CONFIG.train.devices, "nodes": CONFIG.train.nodes}

if workflow.is_main_process:
    logging.getLogger("snakemake.logging").addHandler(HintHandler())
    if GOOGLE:
        try:
            google.check_environment(
                os.environ,
                (
                    tuple(google.VARIABLES)
                    if not SHARED
                    else ("GOOGLE_CLOUD_PROJECT", "AUTOBIRD_BUCKET")
                ),
            )
            if not SHARED:
                google.check_training(**PROCESSES, gpu=may_use_gpu())
            google.check_bucket(STORAGE, os.environ)
        except AutobirdError as error:
            exit_with_error(error)


def epochs_of(stage):
    """A function of the wildcards: the epochs that the run time of a stage depends on."""

    def epochs(wildcards):
        settings = MEMBERS[wildcards.get("member", "")].config.train
        if stage == "train" and settings.teacher:
            return epochs_of_student(
                settings.epochs, settings.batch_size, settings.teacher_batch
            )
        return settings.epochs

    return epochs


def needs(stage, gpu=False, devices=1, nodes=1):
    """Memory, run time, GPUs and nodes of a rule; they depend on the sizes of its recordings and grow with each attempt."""
    if stage == "predict_batch":
        field = [found.sizes for found in FIELD.values() if found]
        sizes = AudioSizes([sum(parts, []) for parts in zip(*field)])
    elif stage.startswith("field_"):
        sizes = AudioSizes(FIELD_SET.listing.sizes if FIELD_SET else [])
    else:
        sizes = AudioSizes(LISTING.sizes if LISTING else [])
    # What a bundle that predict.bundle names needs is known only when it is read.
    use_backbone = CONFIG.uses_backbone or CONFIG.predict.bundle is not None
    chosen = NEEDS | BACKBONE_NEEDS if use_backbone else NEEDS
    request = ResourceRequest(
        chosen[stage],
        sizes,
        epochs_of(stage),
        CONFIG.corpus.max_duration,
        gpu,
        devices,
        nodes,
    )
    return SITE | resources(
        request, lambda wildcards: wildcards.get("batch"), GOOGLE and not SHARED
    )


def state(folder):
    """Folder or URL for the files of a stage that must survive a failed job (checkpoints, the previous split).

    They are no outputs, because Snakemake deletes the outputs of a failed job. They are stored next to the outputs, those of a
    member in its own folder. A function of `threads`, as in untracked().
    """

    def location(wildcards, threads):
        path = RUN / wildcards.get("member", "") / folder
        return f"{STORAGE}/{path}" if STORAGE else path

    return location


def submissions():
    """The Slurm submissions of the jobs to run, each with the partition that the plugin will select for it."""
    from snakemake.logging import logger
    from snakemake_executor_plugin_slurm.partitions import (
        get_best_partition,
        read_partition_file,
    )

    file = workflow.executor_settings.partition_config or slurm.partition_file(
        os.environ
    )
    partitions = read_partition_file(Path(file)) if file else []
    logger.disabled = True
    try:
        for job in workflow.dag.needrun_jobs():
            if job.is_local:
                continue
            # A group is submitted as one Slurm job.
            job = workflow.dag.get_job_group(job) or job
            named = job.resources.get("slurm_partition")
            chosen = (
                get_best_partition(partitions, job, logger)
                if partitions and not named
                else None
            )
            yield slurm.Submission.of(job.name, job.threads, job.resources, chosen)
    finally:
        logger.disabled = False


onstart:
    # Runs before the first job, and not in a dry run: check that Slurm accepts the jobs, and that the bucket can be written.
    try:
        if workflow.executor_plugin.name == "slurm":
            slurm.check_submission(submissions())
        if GOOGLE:
            google.check_access(STORAGE, os.environ)
    except AutobirdError as error:
        exit_with_error(error)


onerror:
    # Snakemake does not print why Slurm rejected a group: ask Slurm again.
    if workflow.executor_plugin.name == "slurm":
        try:
            slurm.check_submission(submissions())
        except AutobirdError as error:
            print(f"error: {error}", file=sys.stderr)
