"""Stands for pip in the image of `--profile gce`, where everything is installed, in the versions of the lock file.

Snakemake's Google Batch plugin calls pip in each job: before it for the newest storage plugin, after it for an old
boto3. Both would change what the job runs with, and ask a registry a thousand times.
"""
