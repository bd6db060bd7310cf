"""Where jobs run: what each rule asks for, where checkpoints outlive a machine, and whether the cluster will do.

No rules here. Nothing here changes what a rule computes.
"""

import logging
import os

from autobird.cluster import google, slurm
from autobird.cluster.hints import Hints
from autobird.cluster.needs import NEEDS, Demand, Sizes, resources

# Where files lie that all jobs reach, if that is not a file system.
STORAGE = (workflow.storage_settings.default_storage_prefix or "").rstrip("/")
GOOGLE = workflow.storage_settings.default_storage_provider == "gcs"
SITE = slurm.site(os.environ)

if workflow.is_main_process:
    logging.getLogger("snakemake.logging").addHandler(Hints())
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
            google.check_bucket(STORAGE, os.environ)
        except AutobirdError as error:
            exit_with_error(error)


def needs(stage, gpu=False):
    """Memory, run time and GPU of a rule, as functions of the recordings it works on, growing with each attempt."""
    if stage == "predict_batch":
        field = [found.sizes for found in FIELD.values() if found]
        sizes = Sizes([sum(parts, []) for parts in zip(*field)])
    else:
        sizes = Sizes(LISTING.sizes if LISTING else [])
    demand = Demand(
        NEEDS[stage], sizes, CONFIG.train.epochs, CONFIG.corpus.max_duration, gpu
    )
    return SITE | resources(
        demand, lambda wildcards: wildcards.get("batch"), GOOGLE and not SHARED
    )


def state(folder):
    """Where a stage keeps what is no output (checkpoints, the last split): beside the outputs, also in a bucket.

    Snakemake deletes the outputs of a job that failed, and this must outlive it.
    """
    folder = RUN / folder
    return untracked(f"{STORAGE}/{folder}" if STORAGE else folder)


def asks():
    """What the jobs to run ask of Slurm, each with the partition that the plugin will choose for it."""
    from snakemake.logging import logger
    from snakemake_executor_plugin_slurm.partitions import (
        get_best_partition,
        read_partition_file,
    )

    file = workflow.executor_settings.partition_config or slurm.partitions(os.environ)
    partitions = read_partition_file(Path(file)) if file else []
    logger.disabled = True
    try:
        for job in workflow.dag.needrun_jobs():
            if job.is_local:
                continue
            # A group is one job of Slurm's.
            job = workflow.dag.get_job_group(job) or job
            named = job.resources.get("slurm_partition")
            chosen = (
                get_best_partition(partitions, job, logger)
                if partitions and not named
                else None
            )
            yield slurm.Ask.of(job.name, job.threads, job.resources, chosen)
    finally:
        logger.disabled = False


onstart:
    # Before the first job, and not on a dry run: whether the cluster will take the jobs, and the bucket the files.
    try:
        if workflow.executor_plugin.name == "slurm":
            slurm.check(asks())
        if GOOGLE:
            google.check_rights(STORAGE, os.environ)
    except AutobirdError as error:
        exit_with_error(error)


onerror:
    # A group that Slurm did not take is reported without the reason: ask again.
    if workflow.executor_plugin.name == "slurm":
        try:
            slurm.check(asks())
        except AutobirdError as error:
            print(f"error: {error}", file=sys.stderr)
