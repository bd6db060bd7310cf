"""Main file of the workflow: from recordings to an evaluated and released model.

Google Batch's plugin passes this file through a shell, so it must not contain dollar signs, backticks or backslashes.
The files in workflow/rules may contain them.
"""

from snakemake.utils import min_version

min_version("9.13")


configfile: "config/config.yaml"


# The image for --sdm apptainer; docs/slurm.md explains how to build it.
container: "envs/autobird.sif"


# Start page of the report that snakemake --report writes.
report: "workflow/report/start.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/listing.smk"
include: "workflow/rules/members.smk"
include: "workflow/rules/students.smk"
include: "workflow/rules/field.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/profile.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/release.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/crossval.smk"
include: "workflow/rules/sweep.smk"
include: "workflow/rules/drift.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/field_evaluation.smk"


# All rules have been read, and so all fingerprints are known.
FINGERPRINTS.store()


rule all:
    """Make everything: evaluated model, bundle, figures and drift test."""
    default_target: True
    input:
        RUN / "evaluation/metrics.json",
        RUN / "evaluation/confusion.png",
        RUN / "evaluation/ranking.csv",
        RUN / "model/curves.png",
        RUN / "dataset/species.png",
        CORPUS / "catalogue.parquet",
        CORPUS / "overview.png",
        CORPUS / "checked.json",
        RUN / "release/comparison.png",
        RUN / "release/bundle/bundle.json",
        RUN / "drift/drift.json",
        FIELD_RUN / "metrics.json" if FIELD_SETTINGS else [],
        RUN / "model/profile/profile.txt" if CONFIG.train.profile else [],
        RUN / "evaluation/tracked.json" if CONFIG.run.tracking != "none" else [],
