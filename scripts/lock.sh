#!/usr/bin/env bash
# Lock the dependencies: envs/requirements.lock for a developer's pip, envs/train.lock for what runs the workflow
# (images and conda), and the same versions for conda in envs/autobird.yaml.
# Needs uv. The packages that only CUDA builds of torch need are left out: torch itself pins them where it needs them.
# With a package's name as argument, only that one is upgraded.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then uv lock --upgrade-package "$1"; else uv lock --upgrade; fi

exported() {
    uv export --frozen "$@" --no-hashes --no-emit-project --no-annotate --no-header |
        grep -vE '^(nvidia-|cuda-|triton)'
}
{
    echo "# Made by 'make lock'. Install: pip install -r envs/requirements.lock -e ."
    exported --all-extras
} > envs/requirements.lock
{
    echo "# Made by 'make lock': the same versions, without the developers' tools. For images and conda."
    exported --extra train --extra serve --extra slurm --extra gce
} > envs/train.lock
{
    echo "# Made by 'make lock' from train.lock, for 'snakemake --sdm conda'."
    printf 'channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.12\n  - pip\n  - pip:\n'
    grep -v '^#' envs/train.lock | sed "s/.*/      - \"&\"/"
} > envs/autobird.yaml
