"""Front door of the workflow: Snakemake runs everything from recordings to a released model.

No dollar signs, backticks or backslashes here: Google Batch's plugin sends this file through a shell. Rules may have them.
"""

from snakemake.utils import min_version

min_version("9.13")


configfile: "config/config.yaml"


# For --sdm apptainer; docs/slurm.md says how to make it.
container: "envs/autobird.sif"


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/release.smk"
include: "workflow/rules/drift.smk"
include: "workflow/rules/predict.smk"


rule all:
    default_target: True
    input:
        RUN / "evaluation/metrics.json",
        RUN / "evaluation/confusion.png",
        RUN / "model/curves.png",
        RUN / "dataset/species.png",
        CORPUS / "catalogue.parquet",
        CORPUS / "overview.png",
        CORPUS / "checked.json",
        RUN / "release/comparison.png",
        RUN / "release/bundle/bundle.json",
        RUN / "drift/drift.json",
