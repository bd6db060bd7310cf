"""Replaces pip in the image of `--profile gce`, which already has all packages in the versions of the lock file.

Snakemake's Google Batch plugin calls pip in each job: before the stage to install the newest storage plugin, after it to
install an old boto3. Both would change the versions that the job runs with, and send a request to a package registry for
every job.
"""
