#!/usr/bin/env bash
# Lock the dependencies: envs/requirements.lock for pip, and the same versions for conda in envs/autobird.yaml.
# Needs uv. The packages that only CUDA builds of torch need are left out: torch itself pins them where it needs them.
set -euo pipefail
cd "$(dirname "$0")/.."
uv lock --upgrade
{
    echo "# Made by 'make lock'. Install: pip install -r envs/requirements.lock -e ."
    uv export --frozen --all-extras --no-hashes --no-emit-project --no-annotate --no-header |
        grep -vE '^(nvidia-|cuda-|triton)'
} > envs/requirements.lock
{
    echo "# Made by 'make lock' from requirements.lock, for 'snakemake --sdm conda'."
    printf 'channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.12\n  - pip\n  - pip:\n'
    grep -v '^#' envs/requirements.lock | sed "s/.*/      - \"&\"/"
} > envs/autobird.yaml
