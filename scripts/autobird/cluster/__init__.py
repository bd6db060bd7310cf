"""Slurm and Google Cloud: resources that jobs request, checks before the first job, and hints for common errors."""
