"""For clusters: the resources of each rule, the place of checkpoints, and checks before the first job.

Contains no rules. Nothing in this file changes the results of a rule.
"""

import logging
import os

from autobird.cluster import google, slurm
from autobird.cluster.hints import Hints
from autobird.cluster.needs import NEEDS, Demand, Sizes, resources

# URL of the bucket that holds all files of the workflow (`--default-storage-prefix`); empty without a bucket.
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
                    if not SHARED_FILE_SYSTEM
                    else ("GOOGLE_CLOUD_PROJECT", "AUTOBIRD_BUCKET")
                ),
            )
            google.check_bucket(STORAGE, os.environ)
        except AutobirdError as error:
            exit_with_error(error)


def needs(stage, gpu=False):
    """Memory, run time and GPU that a rule requests; memory and time depend on its input and grow with each attempt."""
    if stage == "predict_batch":
        field = [found.sizes for found in FIELD_LISTINGS.values() if found]
        sizes = Sizes([sum(parts, []) for parts in zip(*field)])
    else:
        sizes = Sizes(LISTING.sizes if LISTING else [])
    demand = Demand(
        NEEDS[stage], sizes, CONFIG.train.epochs, CONFIG.corpus.max_duration, gpu
    )
    return SITE | resources(
        demand,
        lambda wildcards: wildcards.get("batch"),
        GOOGLE and not SHARED_FILE_SYSTEM,
    )


def state_folder(folder):
    """The folder in which a stage keeps its state (checkpoints, the previous split), in the bucket if there is one.

    It is not an output: Snakemake deletes the outputs of a failed job, and the next attempt needs the state.
    """
    folder = RUN / folder
    return untracked(f"{STORAGE}/{folder}" if STORAGE else folder)


def requested_jobs():
    """Yield the Slurm requests of the jobs to run, each with the partition that the plugin will select for it."""
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
            # Slurm runs a group of jobs as one job.
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
    # Runs before the first job, not on a dry run: check that Slurm accepts the jobs and that the bucket is writable.
    try:
        if workflow.executor_plugin.name == "slurm":
            slurm.check(requested_jobs())
        if GOOGLE:
            google.check_rights(STORAGE, os.environ)
    except AutobirdError as error:
        exit_with_error(error)


onerror:
    # Snakemake reports a rejected group without the reason; the check prints it.
    if workflow.executor_plugin.name == "slurm":
        try:
            slurm.check(requested_jobs())
        except AutobirdError as error:
            print(f"error: {error}", file=sys.stderr)
