"""Replaces pip in the image of `--profile gce`, which already contains all packages in the versions of the lock file.

Snakemake's Google Batch plugin calls pip in each job: before the job for the newest storage plugin, after it for an
old boto3. Both would change the packages that the job uses, and each job would send requests to a registry.
"""
